#include <objectstore/client/diff_stream.hpp>

namespace cess::client::diff {
namespace {

constexpr std::string_view magic = "CESSDIFF";
constexpr std::byte version{1};
constexpr std::size_t header_max = 64 * KiB;
constexpr std::size_t body_max = piece_max + 64;
constexpr std::size_t head_size = 5;

enum kind : std::uint8_t { header_kind = 1, data_kind, zero_kind, end_kind };

hash256 first_check() { return crypto::sha256(as_view("cess diff stream v1")); }

error broken(const std::string& why) { return {errc::corrupt, "difference stream: " + why}; }

template <class T>
result<record> decoded(byte_view body) {
    auto out = wire::decode<T>(body);
    if (!out) return broken("a record that cannot be read");
    return record(std::move(*out));
}

}  // namespace

// ---- writing ---------------------------------------------------------------------------------------------

writer::writer(byte_sink to) : m_to(std::move(to)), m_check(first_check()) {}

result<void> writer::put(const record& what) {
    if (m_records == 0) {
        CHECK_OK(m_to(as_view(magic)));
        CHECK_OK(m_to(byte_view(&version, 1)));
    }
    const auto body = std::visit([](const auto& each) { return wire::encode(each); }, what);
    wire::encoder head;
    head(static_cast<std::uint8_t>(what.index() + 1), static_cast<std::uint32_t>(body.size()));
    m_check = crypto::sha256({m_check.view(), head.view(), body});
    ++m_records;
    CHECK_OK(m_to(head.view()));
    CHECK_OK(m_to(body));
    return m_to(m_check.view());
}

// ---- reading ---------------------------------------------------------------------------------------------

reader::reader(byte_source from) : m_from(std::move(from)), m_check(first_check()) {}

result<void> reader::fill(byte_span out, std::string_view what) {
    while (!out.empty()) {
        TRY(const auto n, m_from(out));
        if (n == 0) return broken("it ends " + std::string(what));
        if (n > out.size()) return broken("a source that gives more than it was asked for");
        out = out.subspan(n);
    }
    return {};
}

result<record> reader::take() {
    bytes head(head_size);
    CHECK_OK(fill(head, "before its end record: half a stream"));
    const auto type = std::to_integer<std::uint8_t>(head[0]);
    wire::decoder in(byte_view(head).subspan(1));
    std::uint32_t length = 0;
    in(length);
    if (type < header_kind || type > end_kind) return broken("a record of an unknown kind");
    if ((type == header_kind) != (m_records == 0)) return broken("its header is not where it belongs");
    if (length > (type == header_kind ? header_max : body_max)) return broken("a record that is too long");
    bytes body(length);
    CHECK_OK(fill(body, "within a record: half a stream"));
    hash256 check;
    CHECK_OK(fill(check.raw, "within a record: half a stream"));
    m_check = crypto::sha256({m_check.view(), head, body});
    if (m_check != check) return broken("record " + std::to_string(m_records) + " does not match its checksum");
    ++m_records;
    switch (type) {
        case header_kind: return decoded<header>(body);
        case data_kind: return decoded<data>(body);
        case zero_kind: return decoded<zero>(body);
        default: return decoded<end>(body);
    }
}

result<header> reader::begin() {
    bytes start(magic.size() + 1);
    const auto read = fill(start, "before its header: half a stream");
    if (!read && read.error().code != errc::corrupt) return read.error();
    if (as_text(start).substr(0, magic.size()) != magic) return error(errc::protocol, "this is no difference stream of `cess export-diff`");
    if (!read) return read.error();
    if (start.back() != version)
        return error(errc::unsupported, "difference stream of version " + std::to_string(std::to_integer<unsigned>(start.back())) + "; this program reads version 1");
    auto first = take();
    if (!first) return std::move(first).error();
    auto out = std::get<header>(std::move(*first));
    const auto named = [](const state& s) { return ledger::check_name(s.name).has_value(); };
    if (!named(out.to) || (out.from && !named(*out.from)) || !ledger::check_name(out.volume)) return broken("a header with impossible names");
    if (out.to_size > ledger::limits::volume_size_max || out.from_size > ledger::limits::volume_size_max) return broken("a header with an impossible size");
    m_size = out.to_size;
    m_data_said = out.data;
    return out;
}

result<void> reader::advance(std::uint64_t offset, std::uint64_t length) {
    if (length == 0) return broken("an empty range");
    if (offset < m_at) return broken("ranges out of order");
    if (offset > m_size || length > m_size - offset) return broken("a range past the volume's end");
    m_at = offset + length;
    return {};
}

result<std::optional<record>> reader::next() {
    if (m_ended) return std::optional<record>();
    TRY(auto got, take());
    if (const auto* d = std::get_if<data>(&got)) {
        if (d->content.size() > piece_max) return broken("a record that is too long");
        CHECK_OK(advance(d->offset, d->content.size()));
        m_data += d->content.size();
    }
    if (const auto* z = std::get_if<zero>(&got)) CHECK_OK(advance(z->offset, z->length));
    const auto* last = std::get_if<end>(&got);
    if (!last) return std::optional<record>(std::move(got));
    m_ended = true;
    if (last->records != m_records - 1 || m_data != m_data_said) return broken("its end record does not match what came before");
    std::byte more{};
    TRY(const auto n, m_from(byte_span(&more, 1)));
    if (n != 0) return broken("something follows its end");
    return std::optional<record>();
}

}  // namespace cess::client::diff
