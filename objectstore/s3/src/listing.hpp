// Listing with prefix, delimiter and a start, over an ordered source of keys. Common prefixes are skipped by
// seeking past them, so that the cost is that of what is listed, not of what lies below.
#pragma once

#include "failure.hpp"

#include <core/base/bytes.hpp>

#include <functional>
#include <string>
#include <vector>

namespace cess::s3 {

struct listed_key {
    std::string key;
    bytes value;
};
// Keys with the prefix, from `from` on (inclusive), at most `limit`, in order, of one consistent state each call.
using key_source = std::function<result<std::vector<listed_key>>(std::string_view prefix, std::string_view from, std::size_t limit)>;

struct list_request {
    std::string prefix;
    std::string delimiter;     // empty: none
    std::string after;         // only what is greater; a common prefix that equals it is skipped whole
    std::string from;          // only what is not less (of a continuation token)
    std::size_t limit = 1000;  // keys and common prefixes together
    bool suffixed = false;     // keys end in NUL and an id, in which no delimiter is looked for
};

struct list_entry {
    std::string name;  // a key or a common prefix
    bool common = false;
    bytes value;       // of a key
};

struct list_page {
    std::vector<list_entry> entries;  // in order
    bool truncated = false;
    std::string next;  // if truncated: `from` of the next page
};

[[nodiscard]] result<list_page> list_keys(const key_source& source, const list_request& what);

// The least string that is greater than all with this prefix; empty if there is none.
[[nodiscard]] std::string after_prefix(std::string_view prefix);

}  // namespace cess::s3
