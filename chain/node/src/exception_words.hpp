// What an exception says, for an error's one line.
#pragma once

#include <exception>
#include <string>

namespace cess::chain {

[[nodiscard]] inline std::string words_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "an exception that is none of the library's";
    }
}

}  // namespace cess::chain
