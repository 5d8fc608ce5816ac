// A segment's bytes, made in one pass, are those that docs/formats/segment.md says, made step by step.
#include <segment_format.hpp>

#include <core/erasure/codec.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using namespace cess::layer;

namespace {

struct sample {
    std::uint64_t length;
    std::uint32_t block_size;
    std::uint8_t k, m;
};

struct fixture {
    explicit fixture(const sample& of) : content(of.length), key(crypto::secret_key::generate(random)), lineage(random.id<volume_id>()) {
        random.fill(content);
        layout.length = of.length;
        layout.block_size = of.block_size;
        layout.geometry = {of.k, of.m};
    }
    bytes sealed() const {
        bytes out;
        block_cipher cipher(key, lineage, {7});
        for (std::uint64_t block = 0; block < layout.blocks(); ++block) {
            bytes one(layout.sealed_size(block));
            cipher.seal(block, byte_view(content).subspan(layout.plain_offset(block), layout.plain_size(block)), one);
            append(out, one);
        }
        return out;
    }
    std::vector<bytes> fragments() const {
        auto data = sealed();
        const auto size = (data.size() + layout.geometry.k - 1) / layout.geometry.k;
        data.resize(size * layout.geometry.k, std::byte{0});
        std::vector<bytes> out;
        for (unsigned i = 0; i < layout.geometry.k; ++i) out.push_back(to_bytes(byte_view(data).subspan(i * size, size)));
        for (unsigned i = 0; i < layout.geometry.m; ++i) out.push_back(layout.geometry.k == 1 ? out.front() : bytes(size));
        if (layout.geometry.k == 1) return out;
        const std::vector<byte_view> from(out.begin(), out.begin() + layout.geometry.k);
        const std::vector<byte_span> parity(out.begin() + layout.geometry.k, out.end());
        erasure::codec::make({layout.geometry.k, layout.geometry.m}).value()->encode(from, parity);
        return out;
    }

    seeded_random random{5};
    segment_layout layout;
    bytes content;
    crypto::secret_key key;
    volume_id lineage;
};

void check_slices(const fixture& f, const std::vector<bytes>& wanted, std::uint64_t slice, const std::shared_ptr<buffer_recycler>& memory) {
    const auto encoder = segment_encoder::make(f.layout, f.key, f.lineage, {7}, f.content);
    REQUIRE(encoder.has_value());
    REQUIRE(f.layout.fragments() == wanted.size());
    std::vector<bytes> got(wanted.size());
    while (!(*encoder)->done()) {
        const auto next = (*encoder)->next(slice, memory);
        REQUIRE(next->offset() == got.front().size());
        for (unsigned i = 0; i < got.size(); ++i) append(got[i], next->fragment(i));
    }
    storage::segment_identity identity;
    identity.geometry = f.layout.geometry;
    identity.stored_length = f.sealed().size();
    for (unsigned i = 0; i < wanted.size(); ++i) {
        CHECK(got[i] == wanted[i]);
        identity.roots.push_back(storage::merkle_root(storage::leaf_hashes(wanted[i])));
    }
    CHECK((*encoder)->identity() == identity);
}

}  // namespace

TEST_CASE("a segment's fragments, roots and name are the format's, for all shapes and sizes") {
    const auto memory = std::make_shared<buffer_recycler>(2);  // gives what others have written in
    const sample samples[] = {
        {1, 4096, 1, 2},           {65000, 4096, 1, 1},          {65500, 4096, 2, 1},        {65536, 65520, 2, 1},
        {3 * MiB, 4096, 2, 1},     {3 * MiB + 1, 4096, 2, 1},    {4 * 65520, 65520, 2, 1},   {4 * 65520, 65520, 4, 2},  // blocks end with fragments
        {2 * MiB, 65536, 3, 2},    {2 * MiB + 777, 16384, 5, 3}, {MiB, 1 * MiB, 4, 2},       {3 * MiB, 1 * MiB, 16, 4},  // fragments within a block
        {1 * MiB, 4096, 2, 0},     {700001, 16, 3, 1},           {5 * MiB - 1, 32768, 32, 16}};
    for (const auto& s : samples) {
        CAPTURE(s.length, s.block_size, unsigned{s.k}, unsigned{s.m});
        const fixture f(s);
        const auto wanted = f.fragments();
        for (const std::uint64_t slice : {storage::leaf_size, 5 * storage::leaf_size, 512 * storage::leaf_size}) check_slices(f, wanted, slice, memory);
    }
}
