// Every request a storage miner's port can bring, from its owner or a stranger: no crash, no leak, nothing unbounded.
#include <support/faulty_disk.hpp>
#include <support/storage_probe.hpp>

#include <core/base/log.hpp>

using namespace cess;

namespace {

struct fuzzed {
    fuzzed() : book(1), random(1), bed(disk, book, 1), volume(book, random, bed.how.self) {
        (void)log::configure({log::level::off, {}});
        bed.how.capacity = 16 * MiB;
        bed.how.limits.journal_file_size = 64 * KiB;
        if (!bed.open()) std::abort();
        volume.take(bed.miner->status().incarnation, 4 * MiB);
        if (!bed.present(volume)) std::abort();
    }
    test::faulty_disk disk;
    test::paper_ledger book;
    seeded_random random;
    test::storage_bed bed;
    test::sample_volume volume;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static fuzzed at;
    (void)test::probe(at.bed, at.volume, std::as_bytes(std::span(data, size)));
    return 0;
}
