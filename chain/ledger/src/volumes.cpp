#include "life.hpp"

#include <algorithm>
#include <bit>

namespace cess::ledger {
namespace {

result<void> check_keys(const std::vector<wrapped_key>& keys) {
    if (keys.size() > limits::keys_max) return error(errc::quota, "keyring of more than 256 keys");
    for (const auto& key : keys)
        if (key.box.size() > limits::key_box_max) return error(errc::too_large, "wrapped key of more than 256 bytes");
    return {};
}

result<void> check_size(volume_type type, std::uint64_t size) {
    if (size > limits::volume_size_max) return error(errc::out_of_range, "volume size past 64 PiB");
    if (type == volume_type::block && size == 0) return error(errc::invalid, "a block volume needs a size");
    if (type == volume_type::block && size % 512 != 0) return error(errc::invalid, "a block volume's size must be a multiple of 512");
    return {};
}

result<void> check_shape(const create_volume& what) {
    if (what.geometry.k == 0 || what.geometry.k > limits::data_fragments_max || what.geometry.m > limits::parity_fragments_max)
        return error(errc::invalid, "erasure geometry must have 1 to 32 data and at most 16 parity fragments");
    if (what.block_size < limits::block_size_min || what.block_size > limits::block_size_max || !std::has_single_bit(what.block_size))
        return error(errc::invalid, "block size must be a power of two from 4 KiB to 64 KiB");
    return check_size(what.type, what.size);
}

// The clone's place in its parent's history; counts it there.
result<root> stand_on(transition& in, const create_volume& what) {
    TRY(const auto parent, in.owned(what.base->volume));
    const auto where = key::view(parent.id, what.base->name);
    auto view = in.find<view_record>(where);
    if (!view) return error(errc::not_found, "snapshot " + parent.name + "@" + what.base->name);
    if (parent.type != what.type) return error(errc::unsupported, "a clone has its parent's type, " + std::string(to_string(parent.type)));
    if (what.type == volume_type::block && what.size < view->size) return error(errc::invalid, "a clone cannot be smaller than its snapshot");
    if (view->clones == ~std::uint32_t{0}) return error(errc::quota, "clones of " + parent.name + "@" + what.base->name);
    ++view->clones;
    in.save(where, *view);
    auto head = view->at;
    head.term = {};
    head.journal_base = {};
    return head;
}

// Past the head its record may still stand in the owner's journal: whoever replays that must not make the view again.
void withdraw(transition& in, const volume_record& volume, const view_record& view) {
    if (view.at.sequence <= volume.head.sequence) return;
    const auto before = in.find<sequence_number>(key::withdrawn(volume.id)).value_or(sequence_number{});
    in.save(key::withdrawn(volume.id), std::max(before, view.at.sequence));
}

bool is_withdrawn(transition& in, const volume_record& volume, sequence_number at) {
    if (at <= volume.head.sequence) return false;
    return at <= in.find<sequence_number>(key::withdrawn(volume.id)).value_or(sequence_number{});
}

void erase_view(transition& in, volume_record& volume, const view_record& view) {
    withdraw(in, volume, view);
    lineage(in, volume).unpin_view(view);
    in.erase(key::view(volume.id, view.name));
}

// The counterpart of stand_on; a clone base goes with its last clone.
void step_off(transition& in, const view_ref& base) {
    const auto where = key::view(base.volume, base.name);
    auto view = in.find<view_record>(where);
    auto parent = in.find<volume_record>(key::volume(base.volume));
    if (!view || !parent || view->clones == 0) throw std::runtime_error("ledger state: a clone without its base");
    --view->clones;
    if (view->kind == view_kind::clone_base && view->clones == 0) {
        erase_view(in, *parent, *view);
        in.save(*parent);
    } else {
        in.save(where, *view);
    }
}

// One bounded step of taking a deleted volume apart; the record goes last.
std::uint64_t dismantle(transition& in, volume_record& volume, std::uint64_t limit) {
    const auto done = lineage(in, volume).destroy(limit);
    if (done < limit) {
        in.erase(key::volume(volume.id));
        in.mark(key::tombstone(volume.id));
        return done + 1;
    }
    in.save(volume);
    return done;
}

}  // namespace

result<bytes> execute(transition& in, const create_volume& what) {
    CHECK_OK(check_name(what.name));
    CHECK_OK(check_shape(what));
    CHECK_OK(check_keys(what.keyring));
    if (what.id.is_zero()) return error(errc::invalid, "volume " + what.name + " has no id");
    if (in.has(key::volume(what.id)) || in.has(key::tombstone(what.id))) return error(errc::conflict, "volume id " + what.id.hex() + " is used; choose another");
    const auto name_key = key::volume_name(in.who(), what.name);
    if (in.has(name_key)) return error(errc::exists, "volume " + what.name);
    volume_record volume;
    volume.id = what.id;
    volume.owner = in.who();
    volume.name = what.name;
    volume.type = what.type;
    volume.size = what.size;
    volume.block_size = what.block_size;
    volume.geometry = what.geometry;
    volume.keyring = what.keyring;
    volume.base = what.base;
    volume.created_unix = what.created_unix;
    if (what.base) {
        TRY(volume.head, stand_on(in, what));
    }
    in.save(volume);
    in.save(name_key, volume.id);
    return bytes{};
}

result<bytes> execute(transition& in, const rename_volume& what) {
    CHECK_OK(check_name(what.name));
    TRY(auto volume, in.owned(what.volume));
    if (volume.name == what.name) return bytes{};
    const auto name_key = key::volume_name(in.who(), what.name);
    if (in.has(name_key)) return error(errc::exists, "volume " + what.name);
    in.erase(key::volume_name(in.who(), volume.name));
    in.save(name_key, volume.id);
    volume.name = what.name;
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const resize_volume& what) {
    TRY(auto volume, in.owned(what.volume));
    CHECK_OK(check_size(volume.type, what.size));
    volume.size = what.size;
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const delete_volume& what) {
    TRY(auto volume, in.owned(what.volume));
    if (lineage(in, volume).views() != 0) return error(errc::not_empty, "volume " + volume.name + " has snapshots; delete them first");
    if (volume.base) step_off(in, *volume.base);
    in.erase(key::withdrawn(volume.id));
    in.erase(key::volume_name(in.who(), volume.name));
    in.unreserve(volume, volume.reserved);
    volume.leases.clear();
    volume.head = {};
    volume.base.reset();
    volume.used = 0;
    volume.deleting = true;
    dismantle(in, volume, 256);
    return bytes{};
}

result<bytes> execute(transition& in, const create_view& what) {
    CHECK_OK(check_name(what.name));
    CHECK_OK(check_keys(what.rotated));
    if (what.added.size() > limits::segments_max) return error(errc::too_large, "more than 4096 segments in one transaction");
    TRY(auto volume, in.held(what.volume, what.term));
    const auto label = volume.name + "@" + what.name;
    const auto where = key::view(volume.id, what.name);
    if (is_withdrawn(in, volume, what.at.sequence))
        return error(errc::conflict, "snapshot " + label + ": was deleted, or renamed");
    if (in.has(where)) return error(errc::exists, "snapshot " + label);
    lineage life(in, volume);
    if (life.views() >= limits::views_max) return error(errc::quota, "volume " + volume.name + " has 1024 snapshots; delete some");
    if (volume.keyring.size() + what.rotated.size() > limits::keys_max) return error(errc::quota, "volume " + volume.name + ": keyring of more than 256 keys");
    if (what.at.term > volume.term) return error(errc::invalid, "snapshot " + label + ": its root is of a term that was never granted");
    if (what.at.sequence < volume.freed_upto)
        return error(errc::conflict, "snapshot " + label + ": what it needs was freed; it is older than change " + std::to_string(volume.freed_upto.value));
    view_record view{what.volume, what.name, what.kind, what.at, what.size, what.created_unix, volume.keyring, 0};
    if (view.at.manifest) view.at.manifest->death = {};  // its segment's own record keeps that
    life.pin_view(view);  // first, so that what is added dead for its sake stays
    CHECK_OK(life.add(what.added));
    CHECK_OK(check_manifest(in, volume, what.at));
    volume.keyring.insert(volume.keyring.end(), what.rotated.begin(), what.rotated.end());
    in.save(where, view);
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const delete_view& what) {
    TRY(auto volume, in.owned(what.volume));
    const auto view = in.find<view_record>(key::view(volume.id, what.name));
    if (!view) return error(errc::not_found, "snapshot " + volume.name + "@" + what.name.substr(0, 63));
    if (view->clones != 0) return error(errc::busy, "snapshot " + volume.name + "@" + what.name + " has clones; delete them first");
    erase_view(in, volume, *view);
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const rename_view& what) {
    CHECK_OK(check_name(what.to));
    TRY(const auto volume, in.owned(what.volume));
    if (what.term != volume.term) return error(errc::conflict, "volume " + volume.name + " is in term " + std::to_string(volume.term.value) + " now");
    const auto label = volume.name + "@" + what.name.substr(0, 63);
    auto view = in.find<view_record>(key::view(volume.id, what.name));
    if (!view || view->kind != view_kind::snapshot) return error(errc::not_found, "snapshot " + label);
    if (what.name == what.to) return bytes{};
    if (view->clones != 0) return error(errc::busy, "snapshot " + label + " has clones, which know it by its name");
    if (in.has(key::view(volume.id, what.to))) return error(errc::exists, "snapshot " + volume.name + "@" + what.to);
    in.erase(key::view(volume.id, what.name));
    view->name = what.to;
    withdraw(in, volume, *view);
    in.save(key::view(volume.id, what.to), *view);
    return bytes{};
}

result<bytes> execute(transition& in, const drop_base& what) {
    TRY(auto volume, in.held(what.volume, what.term));
    if (!volume.base) return bytes{};
    const auto& manifest = volume.head.manifest;
    if (volume.head.sequence < what.at || (manifest && manifest->lineage != volume.id))
        return error(errc::invalid, "volume " + volume.name + ": its head names what it inherited");
    const auto oldest = lineage(in, volume).oldest_view();
    if (oldest && *oldest < what.at) return error(errc::not_empty, "volume " + volume.name + " has snapshots that need what it inherited; delete them first");
    step_off(in, *volume.base);
    volume.base.reset();
    in.save(volume);
    return bytes{};
}

// Segments are pinned by sequence: what the old root named and the new one does not stays with the view.
result<bytes> execute(transition& in, const rewrite_view& what) {
    TRY(auto volume, in.held(what.volume, what.term));
    const auto where = key::view(volume.id, what.name);
    const auto label = "snapshot " + volume.name + "@" + what.name.substr(0, 63);
    const auto before = in.find<view_record>(where);
    if (!before) return error(errc::not_found, label);
    if (before->clones != 0) return error(errc::busy, label + " has clones, which share what it names");
    if (what.at.sequence != before->at.sequence) return error(errc::conflict, label + " is of another change");
    // An owner may begin with a view past the head, and takes its segments for those of a head.
    if (what.at.sequence > volume.head.sequence) return error(errc::conflict, label + " is past the head");
    if (what.at.term > volume.term) return error(errc::invalid, label + ": its root is of a term that was never granted");
    if (!what.at.manifest || what.at.manifest->lineage != volume.id) return error(errc::invalid, label + ": its root is not of the volume's own lineage");
    CHECK_OK(check_manifest(in, volume, what.at));
    auto now = *before;
    now.at = what.at;
    now.at.manifest->death = {};  // its segment's own record keeps that
    now.keyring = volume.keyring;
    lineage(in, volume).repin_view(*before, now);
    in.save(where, now);
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const reap& what) {
    if (what.limit == 0 || what.limit > limits::reap_max) return error(errc::out_of_range, "reap takes 1 to 4096 segments a step");
    auto volume = in.find<volume_record>(key::volume(what.volume));
    if (!volume && in.has(key::tombstone(what.volume))) return wire::encode(std::uint64_t{0});
    if (!volume) return error(errc::not_found, "volume " + what.volume.hex());
    if (volume->owner != in.who()) return error(errc::permission, "volume " + what.volume.hex() + " belongs to another account");
    if (volume->deleting) return wire::encode(dismantle(in, *volume, what.limit));
    lineage life(in, *volume);
    auto done = life.settle_unpinned(what.limit);
    if (done < what.limit) done += life.settle_pending(what.limit - done);
    if (done < what.limit) done += life.settle_astray(what.limit - done);
    in.save(*volume);
    return wire::encode(done);
}

}  // namespace cess::ledger
