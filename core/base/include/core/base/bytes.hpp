// Runs of bytes: owned (`bytes`), seen (`byte_view`), writable (`byte_span`), and their text forms.
#pragma once

#include <core/base/result.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace cess {

// Leaves new elements uninitialised, so that a buffer about to be filled is not zeroed first.
template <class T>
struct default_init_allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = default_init_allocator<U>;
    };
    using std::allocator<T>::allocator;

    template <class U>
    void construct(U* p) noexcept(std::is_nothrow_default_constructible_v<U>) {
        ::new (static_cast<void*>(p)) U;
    }
    template <class U, class... Args>
    void construct(U* p, Args&&... args) {
        ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
    }
};

// `bytes(n)` and `resize(n)` do not zero; `bytes(n, std::byte{0})` does.
using bytes = std::vector<std::byte, default_init_allocator<std::byte>>;
using byte_view = std::span<const std::byte>;
using byte_span = std::span<std::byte>;

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;
inline constexpr std::uint64_t TiB = 1024 * GiB;

inline byte_view as_view(std::string_view text) noexcept { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(byte_view view) noexcept {
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}
// By memcpy: the vector's own copy goes through the allocator byte by byte.
inline void append(bytes& to, byte_view from) {
    if (from.empty()) return;
    const auto end = to.size();
    to.resize(end + from.size());
    std::memcpy(to.data() + end, from.data(), from.size());
}
inline bytes to_bytes(byte_view view) {
    bytes copy;
    append(copy, view);
    return copy;
}
inline bytes to_bytes(std::string_view text) { return to_bytes(as_view(text)); }
inline std::string to_string(byte_view view) { return std::string(as_text(view)); }
inline bool equal(byte_view a, byte_view b) noexcept {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

[[nodiscard]] std::string to_hex(byte_view view);
[[nodiscard]] result<bytes> from_hex(std::string_view text);

// "10G" = "10GiB" = 10·2³⁰; plain numbers are bytes; K M G T P. Refuses overflow, signs and rubbish.
[[nodiscard]] result<std::uint64_t> parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::uint64_t size);  // "1.5 GiB"

}  // namespace cess
