// The canonical binary form of everything CESS sends, stores or signs.
//
// A type says once which fields it has, and gets both directions:
//
//     struct fence_request {
//         static constexpr std::uint8_t wire_version = 1;
//         volume_id volume;
//         term_number term;
//         template <class Self, class Codec>
//         static void describe(Self& self, Codec& codec) { codec(self.volume, self.term); }
//     };
//     bytes b = wire::encode(request);   result<fence_request> r = wire::decode<fence_request>(b);
//
// Form: integers little-endian and fixed width; bool and optional's flag one byte, 0 or 1; enums as their
// underlying integer; ids raw; strings, byte runs and vectors a u32 count and the elements; a variant a u8 index
// and the alternative. A type with `wire_version` starts with that byte. One value has one encoding, so a
// hash or signature over it is well defined.
//
// Hostile input: decode never reads past the view, never allocates more than a small multiple of the view's
// size, refuses trailing bytes, unknown versions, flags that are not 0 or 1 and enum values past the type's
// `wire_enum_max(E)` (found by ADL) where there is one.
#pragma once

#include <core/base/ids.hpp>

#include <concepts>
#include <map>
#include <optional>
#include <tuple>
#include <variant>

namespace cess::wire {

class encoder;
class decoder;

template <class T>
concept described = requires(T& t, encoder& e) { T::describe(t, e); };
template <class T>
concept versioned = requires { { T::wire_version } -> std::convertible_to<std::uint8_t>; };
template <class T>
concept bounded_enum = std::is_enum_v<T> && requires(T e) { { wire_enum_max(e) } -> std::same_as<T>; };

class encoder {
public:
    template <class... Fields>
    void operator()(const Fields&... fields) { (put(fields), ...); }

    void raw(byte_view view) { append(m_out, view); }
    [[nodiscard]] const bytes& view() const noexcept { return m_out; }
    [[nodiscard]] bytes take() && { return std::move(m_out); }

private:
    template <class T>
        requires std::integral<T> || std::is_enum_v<T>
    void put(T value) {
        if constexpr (std::is_enum_v<T>) {
            put(static_cast<std::underlying_type_t<T>>(value));
        } else if constexpr (std::same_as<T, bool>) {
            m_out.push_back(value ? std::byte{1} : std::byte{0});
        } else {
            using unsigned_type = std::make_unsigned_t<T>;
            auto rest = static_cast<unsigned_type>(value);
            std::byte le[sizeof(T)];
            for (auto& b : le) {
                b = static_cast<std::byte>(rest & 0xff);
                if constexpr (sizeof(T) > 1) rest = static_cast<unsigned_type>(rest >> 8);
            }
            raw(le);
        }
    }
    template <class Tag, std::size_t Size>
    void put(const fixed_id<Tag, Size>& id) { raw(id.raw); }
    template <class Tag>
    void put(const strong_number<Tag>& number) { put(number.value); }
    void put(const bytes& run) { count(run.size()); raw(run); }
    void put(const std::string& text) { count(text.size()); raw(as_view(text)); }
    template <class T>
    void put(const std::vector<T>& list) {
        count(list.size());
        for (const auto& element : list) put(element);
    }
    template <class K, class V>
    void put(const std::map<K, V>& map) {
        count(map.size());
        for (const auto& [key, value] : map) put(key), put(value);
    }
    template <class A, class B>
    void put(const std::pair<A, B>& pair) { put(pair.first), put(pair.second); }
    template <class T>
    void put(const std::optional<T>& value) {
        put(value.has_value());
        if (value) put(*value);
    }
    template <class... Ts>
    void put(const std::variant<Ts...>& value) {
        put(static_cast<std::uint8_t>(value.index()));
        std::visit([this](const auto& alternative) { put(alternative); }, value);
    }
    template <described T>
    void put(const T& value) {
        if constexpr (versioned<T>) put(static_cast<std::uint8_t>(T::wire_version));
        T::describe(value, *this);
    }
    void count(std::size_t n) { put(static_cast<std::uint32_t>(n)); }

    bytes m_out;
};

// Reads fields in order; the first failure is kept and everything after it is a no-op.
class decoder {
public:
    explicit decoder(byte_view in) noexcept : m_rest(in) {}

    template <class... Fields>
    void operator()(Fields&... fields) { (get(fields), ...); }

    [[nodiscard]] bool failed() const noexcept { return m_failure != nullptr; }
    [[nodiscard]] byte_view rest() const noexcept { return m_rest; }
    // The first failure, or an error if input is left over.
    [[nodiscard]] result<void> finish() const {
        if (m_failure) return error(errc::protocol, m_failure);
        if (!m_rest.empty()) return error(errc::protocol, "trailing bytes after a message");
        return {};
    }
    void fail(const char* why) noexcept {
        if (!m_failure) m_failure = why;
        m_rest = {};
    }

private:
    byte_view take(std::size_t n) {
        if (n > m_rest.size()) {
            fail("message is cut short");
            return {};
        }
        const auto out = m_rest.first(n);
        m_rest = m_rest.subspan(n);
        return out;
    }
    template <class T>
        requires std::integral<T> || std::is_enum_v<T>
    void get(T& value) {
        if constexpr (std::is_enum_v<T>) {
            std::underlying_type_t<T> number{};
            get(number);
            if constexpr (bounded_enum<T>)
                if (number > static_cast<std::underlying_type_t<T>>(wire_enum_max(T{}))) return fail("unknown enumerator");
            value = static_cast<T>(number);
        } else if constexpr (std::same_as<T, bool>) {
            std::uint8_t flag = 0;
            get(flag);
            if (flag > 1) return fail("flag is neither 0 nor 1");
            value = flag == 1;
        } else {
            const auto le = take(sizeof(T));
            if (le.empty()) return;
            using unsigned_type = std::make_unsigned_t<T>;
            unsigned_type number = 0;
            for (std::size_t i = sizeof(T); i-- > 0;) {
                if constexpr (sizeof(T) > 1) number = static_cast<unsigned_type>(number << 8);
                number = static_cast<unsigned_type>(number | std::to_integer<unsigned_type>(le[i]));
            }
            value = static_cast<T>(number);
        }
    }
    template <class Tag, std::size_t Size>
    void get(fixed_id<Tag, Size>& id) {
        if (const auto raw = take(Size); !raw.empty()) id = fixed_id<Tag, Size>::from(raw);
    }
    template <class Tag>
    void get(strong_number<Tag>& number) { get(number.value); }
    void get(bytes& run) {
        run = to_bytes(take(count()));
    }
    void get(std::string& text) { text = cess::to_string(take(count())); }
    template <class T>
    void get(std::vector<T>& list) {
        // Grows with what is really there: a forged count costs nothing.
        list.clear();
        for (auto n = count(); n > 0 && !failed(); --n) {
            T element{};
            get(element);
            if (!failed()) list.push_back(std::move(element));
        }
    }
    template <class K, class V>
    void get(std::map<K, V>& map) {
        map.clear();
        for (auto n = count(); n > 0 && !failed(); --n) {
            std::pair<K, V> element{};
            get(element);
            if (failed()) return;
            if (!map.empty() && !(map.rbegin()->first < element.first)) return fail("map keys out of order");
            map.emplace_hint(map.end(), std::move(element));
        }
    }
    template <class A, class B>
    void get(std::pair<A, B>& pair) { get(pair.first), get(pair.second); }
    template <class T>
    void get(std::optional<T>& value) {
        bool present = false;
        get(present);
        value.reset();
        if (present && !failed()) get(value.emplace());
    }
    template <class... Ts>
    void get(std::variant<Ts...>& value) {
        std::uint8_t index = 0;
        get(index);
        if (failed()) return;
        if (index >= sizeof...(Ts)) return fail("unknown alternative");
        pick<0, std::variant<Ts...>>(index, value);
    }
    template <std::size_t I, class V>
    void pick(std::size_t index, V& value) {
        if constexpr (I < std::variant_size_v<V>) {
            if (index == I) return get(value.template emplace<I>());
            pick<I + 1>(index, value);
        }
    }
    template <described T>
    void get(T& value) {
        if constexpr (versioned<T>) {
            std::uint8_t version = 0;
            get(version);
            if (failed()) return;
            if (version != T::wire_version) return fail("unknown message version");
        }
        T::describe(value, *this);
    }
    // Every element takes at least one byte, so a count past the rest is a lie.
    std::uint32_t count() {
        std::uint32_t n = 0;
        get(n);
        if (!failed() && n > m_rest.size()) fail("count exceeds the message");
        return failed() ? 0 : n;
    }

    byte_view m_rest;
    const char* m_failure = nullptr;
};

template <class T>
[[nodiscard]] bytes encode(const T& value) {
    encoder e;
    e(value);
    return std::move(e).take();
}

// The whole view must be one T.
template <class T>
[[nodiscard]] result<T> decode(byte_view in) {
    T value{};
    decoder d(in);
    d(value);
    CHECK_OK(d.finish());
    return value;
}

}  // namespace cess::wire
