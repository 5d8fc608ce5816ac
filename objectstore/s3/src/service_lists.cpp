// ListObjects (both versions), ListObjectVersions, ListMultipartUploads, ListParts.
#include "service.hpp"

namespace cess::s3 {

namespace {

constexpr std::size_t page_max = 1000;

// How names stand in the reply: as they are, or with encoding-type=url percent-encoded.
class name_writer {
public:
    static answer<name_writer> of(const parameter_list& query) {
        const auto type = query.get("encoding-type");
        if (!type.empty() && type != "url") return failure(code::invalid_argument, "Invalid Encoding Method specified in Request");
        return name_writer(!type.empty());
    }
    [[nodiscard]] std::string operator()(std::string_view name) const { return m_url ? uri_encode(name, true) : std::string(name); }
    void describe(xml_writer& out) const {
        if (m_url) out.text("EncodingType", "url");
    }

private:
    explicit name_writer(bool url) : m_url(url) {}
    bool m_url;
};

answer<std::size_t> page_limit(const parameter_list& query, std::string_view name) {
    const auto* text = query.find(name);
    if (!text || text->empty()) return page_max;
    const auto number = parse_number(*text);
    if (!number) return failure(code::invalid_argument, "Argument " + std::string(name) + " must be an integer between 0 and 2147483647");
    return static_cast<std::size_t>(std::min<std::uint64_t>(*number, page_max));
}

// A continuation token is the position the next page starts at, opaque to clients.
std::string token_of(std::string_view position) { return base64_encode(as_view("1" + std::string(position))); }
std::optional<std::string> position_of(std::string_view token) {
    const auto raw = base64_decode(token);
    if (!raw || raw->empty() || raw->size() > key_size_max + 2 || (*raw)[0] != std::byte{'1'}) return {};
    return std::string(as_text(byte_view(*raw).subspan(1)));
}

void write_owner(xml_writer& out, std::string_view access) { out.open("Owner").text("ID", access).text("DisplayName", "cess").close(); }

answer<void> write_object(xml_writer& out, const list_entry& entry, const name_writer& name) {
    S3_TRY(const auto record, wire::decode<object_record>(entry.value));
    out.text("Key", name(entry.name)).text("LastModified", iso8601(wall_from_ms(record.modified_ms))).text("ETag", quoted(record.etag));
    if (record.checksum.kind != checksum_kind::none)
        out.text("ChecksumAlgorithm", algorithm_name(record.checksum.kind)).text("ChecksumType", record.checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
    out.number("Size", record.size).text("StorageClass", "STANDARD");
    return {};
}

void write_prefixes(xml_writer& out, const list_page& page, const name_writer& name) {
    for (const auto& entry : page.entries)
        if (entry.common) out.open("CommonPrefixes").text("Prefix", name(entry.name)).close();
}

struct objects_request {
    list_request list;
    bool second = false;  // list-type=2
    bool owner = true;
};

answer<objects_request> read_request(const parameter_list& query) {
    objects_request out;
    out.second = query.get("list-type") == "2";
    out.list.prefix = query.get("prefix");
    out.list.delimiter = query.get("delimiter");
    S3_TRY(out.list.limit, page_limit(query, "max-keys"));
    if (!out.second) {
        out.list.after = query.get("marker");
        return out;
    }
    out.owner = equals_ignoring_case(query.get("fetch-owner"), "true");
    out.list.after = query.get("start-after");
    if (const auto* token = query.find("continuation-token")) {
        const auto from = position_of(*token);
        if (!from) return failure(code::invalid_argument, "The continuation token provided is incorrect");
        out.list.from = *from;
        out.list.after.clear();
    }
    return out;
}

answer<std::string> write_objects(const call& what, const objects_request& wanted, const list_page& page, const name_writer& name) {
    const auto& query = what.head.query;
    xml_writer out("ListBucketResult");
    out.text("Name", what.where.bucket).text("Prefix", name(wanted.list.prefix));
    if (query.has("delimiter")) out.text("Delimiter", name(wanted.list.delimiter));
    out.number("MaxKeys", wanted.list.limit);
    name.describe(out);
    if (wanted.second) {
        out.number("KeyCount", page.entries.size());
        if (const auto* after = query.find("start-after")) out.text("StartAfter", name(*after));
        if (const auto* token = query.find("continuation-token")) out.text("ContinuationToken", *token);
        if (page.truncated) out.text("NextContinuationToken", token_of(page.next));
    } else {
        out.text("Marker", name(wanted.list.after));
        if (page.truncated) out.text("NextMarker", name(page.entries.back().name));
    }
    out.flag("IsTruncated", page.truncated);
    for (const auto& entry : page.entries) {
        if (entry.common) continue;
        out.open("Contents");
        S3_CHECK(write_object(out, entry, name));
        if (wanted.owner) write_owner(out, what.who.access);
        out.close();
    }
    write_prefixes(out, page, name);
    return std::move(out).finish();
}

answer<std::string> write_versions(const call& what, const list_request& wanted, const list_page& page, const name_writer& name) {
    xml_writer out("ListVersionsResult");
    out.text("Name", what.where.bucket).text("Prefix", name(wanted.prefix)).text("KeyMarker", name(wanted.after)).text("VersionIdMarker", "");
    if (!wanted.delimiter.empty()) out.text("Delimiter", name(wanted.delimiter));
    out.number("MaxKeys", wanted.limit);
    name.describe(out);
    out.flag("IsTruncated", page.truncated);
    if (page.truncated) out.text("NextKeyMarker", name(page.entries.back().name)).text("NextVersionIdMarker", "null");
    for (const auto& entry : page.entries) {
        if (entry.common) continue;
        out.open("Version");
        S3_CHECK(write_object(out, entry, name));
        out.text("VersionId", "null").flag("IsLatest", true);
        write_owner(out, what.who.access);
        out.close();
    }
    write_prefixes(out, page, name);
    return std::move(out).finish();
}

answer<list_request> read_uploads_request(const parameter_list& query) {
    list_request out;
    out.prefix = query.get("prefix");
    out.delimiter = query.get("delimiter");
    S3_TRY(out.limit, page_limit(query, "max-uploads"));
    const std::string marker(query.get("key-marker")), id(query.get("upload-id-marker"));
    // Without an upload's id the marker passes all uploads of its key.
    if (!marker.empty()) out.after = marker + '\0' + (id.empty() ? std::string("\x7f") : id);
    if (!marker.empty() && !out.delimiter.empty() && marker.ends_with(out.delimiter) && marker.size() > out.prefix.size()) out.after = marker;
    return out;
}

std::pair<std::string, std::string> split_upload(const std::string& name) {
    const auto mark = name.find('\0');
    if (mark == std::string::npos) return {name, ""};
    return {name.substr(0, mark), name.substr(mark + 1)};
}

answer<std::string> write_uploads(const call& what, const list_request& wanted, const list_page& page, const name_writer& name) {
    const auto& query = what.head.query;
    xml_writer out("ListMultipartUploadsResult");
    out.text("Bucket", what.where.bucket).text("KeyMarker", name(query.get("key-marker"))).text("UploadIdMarker", query.get("upload-id-marker"));
    out.text("Prefix", name(wanted.prefix));
    if (!wanted.delimiter.empty()) out.text("Delimiter", name(wanted.delimiter));
    name.describe(out);
    out.number("MaxUploads", wanted.limit).flag("IsTruncated", page.truncated);
    if (page.truncated) {
        const auto [key, id] = split_upload(page.entries.back().name);
        out.text("NextKeyMarker", name(key)).text("NextUploadIdMarker", id);
    }
    for (const auto& entry : page.entries) {
        if (entry.common) continue;
        S3_TRY(const auto record, wire::decode<upload_record>(entry.value));
        const auto [key, id] = split_upload(entry.name);
        out.open("Upload").text("Key", name(key)).text("UploadId", id);
        out.open("Initiator").text("ID", what.who.access).text("DisplayName", "cess").close();
        write_owner(out, what.who.access);
        out.text("StorageClass", "STANDARD").text("Initiated", iso8601(wall_from_ms(record.started_ms)));
        if (record.checksum != checksum_kind::none) out.text("ChecksumAlgorithm", algorithm_name(record.checksum));
        out.close();
    }
    write_prefixes(out, page, name);
    return std::move(out).finish();
}

}  // namespace

net::awaitable<answer<response>> service::list_objects(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto name, name_writer::of(what.head.query));
    CO_S3_TRY(const auto wanted, read_request(what.head.query));
    auto look = [&what, &wanted] { return what.lease->list(wanted.list); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto page, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, page.seen));
    CO_S3_TRY(auto document, write_objects(what, wanted, page.keys, name));
    co_return response::xml(std::move(document));
}

net::awaitable<answer<response>> service::list_versions(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto name, name_writer::of(what.head.query));
    list_request wanted;
    wanted.prefix = what.parameter("prefix");
    wanted.delimiter = what.parameter("delimiter");
    wanted.after = what.parameter("key-marker");
    CO_S3_TRY(wanted.limit, page_limit(what.head.query, "max-keys"));
    auto look = [&what, &wanted] { return what.lease->list(wanted); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto page, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, page.seen));
    CO_S3_TRY(auto document, write_versions(what, wanted, page.keys, name));
    co_return response::xml(std::move(document));
}

net::awaitable<answer<response>> service::list_uploads(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto name, name_writer::of(what.head.query));
    CO_S3_TRY(const auto wanted, read_uploads_request(what.head.query));
    auto look = [&what, &wanted] { return what.lease->list_uploads(wanted); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto page, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, page.seen));
    CO_S3_TRY(auto document, write_uploads(what, wanted, page.keys, name));
    co_return response::xml(std::move(document));
}

net::awaitable<answer<response>> service::list_parts(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto limit, page_limit(what.head.query, "max-parts"));
    const auto marker_text = what.parameter("part-number-marker");
    const auto marker = marker_text.empty() ? std::optional<std::uint64_t>(0) : parse_number(marker_text);
    if (!marker) co_return failure(code::invalid_argument, "part-number-marker must be a number.");
    const auto after = static_cast<std::uint32_t>(std::min<std::uint64_t>(*marker, part_number_max));
    const std::string id(what.parameter("uploadId"));
    auto look = [&what, &id, after, limit] { return what.lease->list_parts(what.where.key, id, after, limit + 1); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(auto listed, co_await std::move(looking));
    const auto* head = what.lease->head();
    CO_S3_CHECK(co_await make_durable(what.lease, head ? head->applied() : sequence_number()));
    const bool more = listed.size() > limit;
    if (more) listed.resize(limit);

    xml_writer out("ListPartsResult");
    out.text("Bucket", what.where.bucket).text("Key", what.where.key).text("UploadId", id);
    out.number("PartNumberMarker", after).number("NextPartNumberMarker", listed.empty() ? after : listed.back().number);
    out.number("MaxParts", limit).flag("IsTruncated", more).text("StorageClass", "STANDARD");
    for (const auto& [number, part] : listed) {
        out.open("Part").number("PartNumber", number).text("LastModified", iso8601(wall_from_ms(part.modified_ms)));
        out.text("ETag", quoted(part.etag)).number("Size", part.size);
        if (part.checksum.kind != checksum_kind::none) out.text(element_name(part.checksum.kind), part.checksum.value);
        out.close();
    }
    write_owner(out, what.who.access);
    co_return response::xml(std::move(out).finish());
}

}  // namespace cess::s3
