#include "name_check.hpp"
#include "record_check.hpp"

#include <algorithm>

namespace cess::fs {

result<checked> check(volume::reader& of, const std::function<void(const flaw&)>& tell, check_settings how) {
    check_run run{of, tell};
    CHECK_OK(check_volume_rows(run));
    CHECK_OK(run.quotas.load(run));
    CHECK_OK(record_check(run).run());
    TRY(const auto super, run.load<format::superblock>(format::superblock_key()));
    const auto numbers = super ? super->next.value : how.window;  // what lies past them, a further window finds
    CHECK_OK(name_check(run, std::clamp<std::uint64_t>(numbers, 1, how.window)).run());
    CHECK_OK(run.quotas.compare(run));
    return run.count;
}

}  // namespace cess::fs
