#include <core/config/config.hpp>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <system_error>

#include <toml++/toml.h>

namespace cess::config {
namespace {

constexpr std::size_t file_size_max = 1 * MiB;

// A leaf of the document: anything that is not a table.
struct leaf {
    std::string key;
    const toml::node* value;
};

void collect(const toml::table& in, const std::string& prefix, std::vector<leaf>& leaves, std::vector<leaf>& tables) {
    for (const auto& [name, node] : in) {
        const auto key = prefix + std::string(name.str());
        if (const auto* inner = node.as_table()) {
            tables.push_back({key, &node});
            collect(*inner, key + ".", leaves, tables);
        } else {
            leaves.push_back({key, &node});
        }
    }
}

error at_line(const std::string& name, const toml::source_region& where, const std::string& what) {
    return {errc::invalid, name + ":" + std::to_string(where.begin.line) + ": " + what};
}

std::string quoted(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7f) {
            out += "\\u00";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// A size that parses back to itself: the largest unit that divides it.
std::string exact_size(std::uint64_t size) {
    static constexpr std::string_view names[] = {"", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::size_t power = 0;
    for (; size != 0 && size % 1024 == 0 && power + 1 < std::size(names); ++power) size /= 1024;
    return std::to_string(size) + std::string(names[power]);
}

std::string range_text(std::uint64_t min, std::uint64_t max, bool is_size) {
    const auto show = [&](std::uint64_t v) { return is_size ? exact_size(v) : std::to_string(v); };
    if (max == ~std::uint64_t{0}) return "at least " + show(min);
    return "between " + show(min) + " and " + show(max);
}

result<std::uint64_t> in_range(std::uint64_t value, std::uint64_t min, std::uint64_t max, bool is_size) {
    if (value >= min && value <= max) return value;
    return error(errc::invalid, "must be " + range_text(min, max, is_size));
}

result<std::uint64_t> integer_of(const toml::node& node) {
    const auto value = node.value_exact<std::int64_t>();
    if (!value) return error(errc::invalid, "must be a whole number");
    if (*value < 0) return error(errc::invalid, "must not be negative");
    return static_cast<std::uint64_t>(*value);
}

result<std::uint64_t> size_of(const toml::node& node) {
    if (const auto text = node.value_exact<std::string>()) return parse_size(*text);
    auto number = integer_of(node);
    if (!number) return error(errc::invalid, "must be a size such as \"512MiB\" or a number of bytes");
    return number;
}

result<std::string> text_of(const toml::node& node) {
    auto text = node.value_exact<std::string>();
    if (!text) return error(errc::invalid, "must be text in quotes");
    if (text->find('\0') != std::string::npos) return error(errc::invalid, "must not contain a zero byte");
    return std::move(*text);
}

result<std::vector<std::string>> texts_of(const toml::node& node) {
    const auto* array = node.as_array();
    if (!array) return error(errc::invalid, "must be a list of texts in quotes");
    std::vector<std::string> out;
    for (const auto& item : *array) {
        TRY(auto text, text_of(item));
        out.push_back(std::move(text));
    }
    return out;
}

// "a.b.c" → ("a.b", "c")
std::pair<std::string, std::string> split(const std::string& key) {
    const auto dot = key.rfind('.');
    if (dot == std::string::npos) return {"", key};
    return {key.substr(0, dot), key.substr(dot + 1)};
}

}  // namespace

void schema::text(std::string key, std::string& value, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::text, &value});
}
void schema::flag(std::string key, bool& value, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::flag, &value});
}
void schema::number(std::string key, std::uint64_t& value, std::uint64_t min, std::uint64_t max, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::number, &value, min, max});
}
void schema::size(std::string key, std::uint64_t& value, std::uint64_t min, std::uint64_t max, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::size, &value, min, max});
}
void schema::time(std::string key, std::chrono::nanoseconds& value, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::time, &value});
}
void schema::texts(std::string key, std::vector<std::string>& value, std::string help) {
    m_options.push_back({std::move(key), std::move(help), kind::texts, &value});
}

result<void> schema::load(const std::string& path) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) return errno_error("configuration " + path, errno != 0 ? errno : EIO);
    std::string text(file_size_max + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) return errno_error("configuration " + path, EISDIR);
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > file_size_max) return error(errc::too_large, "configuration " + path + ": larger than 1 MiB");
    return parse(text, path);
}

result<void> schema::parse(std::string_view toml, const std::string& name) {
    const auto document = toml::parse(toml, name);
    if (!document) return at_line(name, document.error().source(), std::string(document.error().description()));
    std::vector<leaf> leaves;
    std::vector<leaf> tables;
    collect(document.table(), "", leaves, tables);

    std::map<std::string, const option*> known;
    std::set<std::string> known_tables;
    for (const auto& o : m_options) {
        known[o.key] = &o;
        for (auto dot = o.key.find('.'); dot != std::string::npos; dot = o.key.find('.', dot + 1)) known_tables.insert(o.key.substr(0, dot));
    }
    for (const auto& t : tables)
        if (!known_tables.contains(t.key)) return at_line(name, t.value->source(), "unknown table [" + t.key + "]");

    // All values are judged before the first is set: a refused file changes nothing.
    std::vector<std::function<void()>> assignments;
    for (const auto& l : leaves) {
        const auto found = known.find(l.key);
        if (found == known.end()) return at_line(name, l.value->source(), "unknown key " + l.key);
        const auto& o = *found->second;
        const auto set = [&](auto judged) -> result<void> {
            if (!judged) return at_line(name, l.value->source(), l.key + ": " + judged.error().what);
            using value_type = std::decay_t<decltype(*judged)>;
            assignments.push_back([to = static_cast<value_type*>(o.value), value = std::move(*judged)] { *to = value; });
            return {};
        };
        const auto ranged = [&](result<std::uint64_t> read, bool is_size) {
            return read ? in_range(*read, o.min, o.max, is_size) : read;
        };
        switch (o.what) {
            case kind::text: CHECK_OK(set(text_of(*l.value))); break;
            case kind::texts: CHECK_OK(set(texts_of(*l.value))); break;
            case kind::number: CHECK_OK(set(ranged(integer_of(*l.value), false))); break;
            case kind::size: CHECK_OK(set(ranged(size_of(*l.value), true))); break;
            case kind::flag: {
                const auto value = l.value->value_exact<bool>();
                CHECK_OK(set(value ? result<bool>(*value) : result<bool>(error(errc::invalid, "must be true or false"))));
                break;
            }
            case kind::time: {
                auto text = text_of(*l.value);
                CHECK_OK(set(text ? parse_duration(*text) : result<std::chrono::nanoseconds>(error(errc::invalid, "must be a duration such as \"150ms\" or \"5s\""))));
                break;
            }
        }
    }
    for (const auto& assign : assignments) assign();
    return {};
}

std::string schema::dump() const {
    // Keys without a table come first, as TOML needs it; tables in the order of their first option.
    std::vector<std::string> order{""};
    std::map<std::string, std::string> sections;
    for (const auto& o : m_options) {
        const auto [table, name] = split(o.key);
        if (!sections.contains(table) && !table.empty()) order.push_back(table);
        auto& out = sections[table];
        if (!o.help.empty()) out += "# " + o.help + "\n";
        out += name + " = ";
        switch (o.what) {
            case kind::text: out += quoted(*static_cast<const std::string*>(o.value)); break;
            case kind::flag: out += *static_cast<const bool*>(o.value) ? "true" : "false"; break;
            case kind::number: out += std::to_string(*static_cast<const std::uint64_t*>(o.value)); break;
            case kind::size: out += quoted(exact_size(*static_cast<const std::uint64_t*>(o.value))); break;
            case kind::time: out += quoted(format_duration(*static_cast<const std::chrono::nanoseconds*>(o.value))); break;
            case kind::texts: {
                out += "[";
                const auto& list = *static_cast<const std::vector<std::string>*>(o.value);
                for (std::size_t i = 0; i < list.size(); ++i) out += (i == 0 ? "" : ", ") + quoted(list[i]);
                out += "]";
                break;
            }
        }
        out += "\n";
    }
    std::string all;
    for (const auto& table : order) {
        const auto found = sections.find(table);
        if (found == sections.end()) continue;
        if (!all.empty()) all += "\n";
        if (!table.empty()) all += "[" + table + "]\n";
        all += found->second;
    }
    return all;
}

}  // namespace cess::config
