#include "mounting.hpp"

#include <cstdio>

int main(int argc, char** argv) {
    using namespace cess::fs::program;
    auto how = parse(argc, argv);
    if (!how) {
        std::fprintf(stderr, "cessfs: %s\n", how.error().what.c_str());
        return 2;
    }
    if (how->help) return std::fputs(help_text().c_str(), stdout) < 0;
    if (how->version) return std::puts("cessfs " CESS_VERSION) < 0;
    how = resolve_paths(*how);
    if (!how) {
        std::fprintf(stderr, "cessfs: %s\n", how.error().message().c_str());
        return 1;
    }
    if (!how->foreground) return in_background("cessfs", [&](readiness& report) { return run(*how, report); });
    readiness nobody(-1);
    return run(*how, nobody);
}
