#include "program.hpp"

int main(int count, char** words) { return cess::s3::run(count, words); }
