// What the parts of one check share.
#pragma once

#include "format.hpp"
#include "quota_recount.hpp"

#include <core/base/log.hpp>
#include <core/wire/codec.hpp>
#include <fs/check.hpp>

namespace cess::fs {

struct check_run {
    volume::reader& of;
    const std::function<void(const flaw&)>& tell;
    checked count{};
    quota_recount quotas{};

    // What a repair would do, and what is wrong.
    template <class... Args>
    void say(std::string_view repair, fmt::format_string<Args...> what, Args&&... args) {
        ++count.flaws;
        tell({fmt::format(what, std::forward<Args>(args)...), std::string(repair)});
    }

    // Empty: there is none, or one that does not decode, of which who reads it in its order has said so.
    template <class Record>
    [[nodiscard]] result<std::optional<Record>> load(byte_view key) {
        TRY(const auto found, of.get(key));
        if (!found) return std::optional<Record>();
        auto record = wire::decode<Record>(*found);
        if (!record) return std::optional<Record>();
        return std::optional<Record>(std::move(*record));
    }
};

}  // namespace cess::fs
