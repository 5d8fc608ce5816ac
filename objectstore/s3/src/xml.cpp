#include "xml.hpp"

#include "text.hpp"

#include <pugixml.hpp>

namespace cess::s3 {

namespace {

constexpr std::size_t delete_keys_max = 1000;
constexpr std::size_t parts_max = 10000;
// Of tags in one document, counted before it is parsed: pugixml needs ~100 bytes for each element.
constexpr std::size_t tags_max = 10 * parts_max;

// No DTD, no processing instructions: entities other than XML's own five do not exist (pugixml never expands any).
answer<pugi::xml_node> load(pugi::xml_document& to, std::string_view xml, std::string_view root) {
    if (xml.size() > xml_size_max) return failure(code::malformed_xml);
    std::size_t tags = 0;
    for (const char c : xml) tags += c == '<';
    if (tags > tags_max) return failure(code::malformed_xml);
    // Text that is only blanks counts where it is all that an element has: " " is a key.
    constexpr auto how = (pugi::parse_default & ~pugi::parse_eol) | pugi::parse_ws_pcdata_single;
    const auto parsed = to.load_buffer(xml.data(), xml.size(), how, pugi::encoding_utf8);
    const auto node = to.document_element();
    if (!parsed || node.name() != root) return failure(code::malformed_xml);
    return node;
}

std::string_view unquoted(std::string_view etag) {
    if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') return etag.substr(1, etag.size() - 2);
    return etag;
}

answer<completed_part> read_part(const pugi::xml_node& node) {
    completed_part out;
    const auto number = parse_number(trim(node.child_value("PartNumber")));
    if (!number || *number < 1 || *number > parts_max) return failure(code::malformed_xml);
    out.number = static_cast<std::uint32_t>(*number);
    out.etag = unquoted(trim(node.child_value("ETag")));
    if (out.etag.empty()) return failure(code::malformed_xml);
    for (const auto kind : {checksum_kind::crc32, checksum_kind::crc32c, checksum_kind::crc64nvme, checksum_kind::sha1, checksum_kind::sha256})
        if (const auto value = node.child(element_name(kind).data())) out.checksums.emplace_back(kind, value.text().get());
    return out;
}

}  // namespace

void xml_escape(std::string& to, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '&': to.append("&amp;"); break;
            case '<': to.append("&lt;"); break;
            case '>': to.append("&gt;"); break;
            case '"': to.append("&quot;"); break;
            default:
                if (static_cast<unsigned char>(c) < 0x20) to.append("&#").append(std::to_string(static_cast<int>(c))).append(";");
                else to.push_back(c);
        }
    }
}

xml_writer::xml_writer(std::string_view root, bool name_space) : m_out("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") {
    m_out.append("<").append(root);
    if (name_space) m_out.append(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"");
    m_out.append(">");
    m_open.push_back(root);
}

xml_writer& xml_writer::open(std::string_view name) {
    m_out.append("<").append(name).append(">");
    m_open.push_back(name);
    return *this;
}

xml_writer& xml_writer::close() {
    m_out.append("</").append(m_open.back()).append(">");
    m_open.pop_back();
    return *this;
}

xml_writer& xml_writer::text(std::string_view name, std::string_view value) {
    m_out.append("<").append(name).append(">");
    xml_escape(m_out, value);
    m_out.append("</").append(name).append(">");
    return *this;
}

std::string xml_writer::finish() && {
    while (!m_open.empty()) close();
    return std::move(m_out);
}

answer<delete_request> parse_delete(std::string_view xml) {
    pugi::xml_document document;
    S3_TRY(const auto root, load(document, xml, "Delete"));
    delete_request out;
    for (const auto node : root.children()) {
        const std::string_view name = node.name();
        if (name == "Quiet") {
            out.quiet = equals_ignoring_case(trim(node.text().get()), "true");
        } else if (name == "Object") {
            if (out.objects.size() == delete_keys_max) return failure(code::malformed_xml);
            const auto version = std::string_view(node.child_value("VersionId"));
            if (!version.empty() && version != "null") return failure(code::no_such_version);
            if (node.child("Size") || node.child("LastModifiedTime")) return failure(code::not_implemented, "Deletes can depend on ETag only.");
            out.objects.push_back({node.child_value("Key"), std::string(trim(node.child_value("ETag")))});
            if (out.objects.back().key.empty()) return failure(code::malformed_xml);
        } else {
            return failure(code::malformed_xml);
        }
    }
    if (out.objects.empty()) return failure(code::malformed_xml);
    return out;
}

answer<std::vector<completed_part>> parse_complete(std::string_view xml) {
    pugi::xml_document document;
    S3_TRY(const auto root, load(document, xml, "CompleteMultipartUpload"));
    std::vector<completed_part> out;
    for (const auto node : root.children("Part")) {
        if (out.size() == parts_max) return failure(code::malformed_xml);
        S3_TRY(auto part, read_part(node));
        out.push_back(std::move(part));
    }
    if (out.empty()) return failure(code::malformed_xml);
    return out;
}

answer<void> parse_acl(std::string_view xml, std::string_view owner) {
    pugi::xml_document document;
    S3_TRY(const auto root, load(document, xml, "AccessControlPolicy"));
    std::size_t grants = 0;
    for (const auto grant : root.child("AccessControlList").children("Grant")) {
        const bool full = trim(grant.child_value("Permission")) == "FULL_CONTROL";
        if (!full || trim(grant.child("Grantee").child_value("ID")) != owner) return failure(code::acl_not_supported);
        ++grants;
    }
    if (grants == 0) return failure(code::acl_not_supported);
    return {};
}

answer<void> parse_create_bucket(std::string_view xml) {
    if (trim(xml).empty()) return {};
    pugi::xml_document document;
    S3_CHECK(load(document, xml, "CreateBucketConfiguration"));
    return {};
}

}  // namespace cess::s3
