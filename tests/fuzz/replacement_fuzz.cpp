// What a cessfs hears from one that replaces it, and the other way round.
#include "replacing.hpp"

#include <core/wire/codec.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::fs::program;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = std::as_bytes(std::span(data, size));
    const auto said = wire::decode<replacement::message>(text);
    if (!said) return 0;
    if (wire::encode(*said) != to_bytes(text)) std::abort();  // one message has one form
    if (const auto* offered = std::get_if<replacement::offer>(&*said)) {
        const auto running = replacement::from_offer(*offered, "/mnt");
        if (running && !(running->attr_timeout >= 0 && running->attr_timeout <= 1e9)) std::abort();
    }
    return 0;
}
