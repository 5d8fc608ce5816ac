#include <core/crypto/blake3.hpp>

#include <blake3.h>

namespace cess::crypto {
namespace {

std::uint8_t* raw(hash256& out) { return reinterpret_cast<std::uint8_t*>(out.raw.data()); }

// The library asks the processor what it can when it is first used, and keeps the answer without a lock: the first use
// is made here, under the lock of a static's initialisation, before any other.
void ask_processor() {
    static const hash256 first = [] {
        hash256 out;
        blake3_hasher hasher;
        blake3_hasher_init(&hasher);
        blake3_hasher_finalize(&hasher, raw(out), out.size);
        return out;
    }();
    (void)first;
}

}  // namespace

struct blake3_context::state {
    blake3_hasher hasher{};
};

blake3_context::blake3_context(std::string_view context) {
    ask_processor();
    const auto start = std::make_shared<state>();
    blake3_hasher_init_derive_key_raw(&start->hasher, context.data(), context.size());
    m_start = start;
}

hash256 blake3_context::hash(std::initializer_list<byte_view> parts) const {
    hash256 out;
    auto hasher = m_start->hasher;
    for (const auto part : parts) blake3_hasher_update(&hasher, part.data(), part.size());
    blake3_hasher_finalize(&hasher, raw(out), out.size);
    return out;
}

}  // namespace cess::crypto
