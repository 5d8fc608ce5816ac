#include <core/erasure/codec.hpp>

#include <isa-l/erasure_code.h>

#include <jerasure.h>
#include <reed_sol.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <mutex>

namespace cess::erasure {
namespace {

using matrix = std::vector<unsigned char>;  // row by row

// k+m rows of k: the identity, then Jerasure's coding matrix.
matrix generator_of(geometry g) {
    const std::size_t k = g.k;
    const std::size_t m = g.m;
    matrix rows(k * (k + m), 0);
    for (std::size_t i = 0; i < k; ++i) rows[i * k + i] = 1;
    if (m == 0) return rows;
    if (k == 1) {  // copies
        std::fill(rows.begin(), rows.end(), static_cast<unsigned char>(1));
        return rows;
    }
    const std::unique_ptr<int, void (*)(void*)> coding(reed_sol_vandermonde_coding_matrix(static_cast<int>(k), static_cast<int>(m), 8), &std::free);
    for (std::size_t i = 0; i < k * m; ++i) rows[k * k + i] = static_cast<unsigned char>(coding.get()[i]);
    return rows;
}

unsigned char* writable(byte_view view) {  // ISA-L's signature forgets const for what it only reads
    return reinterpret_cast<unsigned char*>(const_cast<std::byte*>(view.data()));
}

class isal_codec final : public codec {
public:
    explicit isal_codec(geometry g) : m_shape(g), m_generator(generator_of(g)), m_tables(tables_of(m_generator.data() + g.k * g.k, g.m)) {}

    [[nodiscard]] geometry shape() const noexcept override { return m_shape; }

    void encode(const std::vector<byte_view>& data, const std::vector<byte_span>& parity) const override {
        if (m_shape.m == 0 || data.front().empty()) return;
        run(m_tables, data, parity);
    }

    [[nodiscard]] result<void> decode(const std::vector<piece>& have, const std::vector<hole>& wanted) const override {
        const std::size_t k = m_shape.k;
        std::vector<unsigned> from;
        std::vector<byte_view> data;
        CHECK_OK(choose(have, wanted, from, data));
        if (wanted.empty() || data.front().empty()) return {};
        matrix chosen(k * k);
        matrix inverse(k * k);
        for (std::size_t row = 0; row < k; ++row) std::copy_n(&m_generator[from[row] * k], k, &chosen[row * k]);
        if (gf_invert_matrix(chosen.data(), inverse.data(), static_cast<int>(k)) != 0) return error(errc::corrupt, "coding matrix cannot be inverted");
        matrix rows(wanted.size() * k);
        std::vector<byte_span> out;
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            multiply(&m_generator[wanted[i].index * k], inverse, &rows[i * k]);
            out.push_back(wanted[i].data);
        }
        run(tables_of(rows.data(), wanted.size()), data, out);
        return {};
    }

private:
    // The first k distinct pieces, and everything a caller can get wrong.
    result<void> choose(const std::vector<piece>& have, const std::vector<hole>& wanted, std::vector<unsigned>& from, std::vector<byte_view>& data) const {
        for (const auto& p : have) {
            if (p.index >= m_shape.total()) return error(errc::invalid, "fragment index outside the geometry");
            if (p.data.size() != have.front().data.size()) return error(errc::invalid, "fragments of different sizes");
            if (from.size() == m_shape.k || std::find(from.begin(), from.end(), p.index) != from.end()) continue;
            from.push_back(p.index);
            data.push_back(p.data);
        }
        if (from.size() < m_shape.k)
            return error(errc::unavailable, std::to_string(from.size()) + " fragments of the " + std::to_string(m_shape.k) + " needed");
        for (const auto& h : wanted) {
            if (h.index >= m_shape.total()) return error(errc::invalid, "fragment index outside the geometry");
            if (h.data.size() != data.front().size()) return error(errc::invalid, "fragments of different sizes");
        }
        return {};
    }
    void multiply(const unsigned char* row, const matrix& by, unsigned char* out) const {
        const std::size_t k = m_shape.k;
        for (std::size_t column = 0; column < k; ++column) {
            unsigned char sum = 0;
            for (std::size_t i = 0; i < k; ++i) sum = static_cast<unsigned char>(sum ^ gf_mul(row[i], by[i * k + column]));
            out[column] = sum;
        }
    }
    [[nodiscard]] matrix tables_of(const unsigned char* rows, std::size_t count) const {
        matrix tables(std::size_t{32} * m_shape.k * count);
        if (count > 0) ec_init_tables(m_shape.k, static_cast<int>(count), const_cast<unsigned char*>(rows), tables.data());
        return tables;
    }
    // ISA-L counts bytes with an int: longer fragments go in steps.
    void run(const matrix& tables, const std::vector<byte_view>& data, const std::vector<byte_span>& out) const {
        constexpr std::size_t step = std::size_t{1} << 30;
        std::vector<unsigned char*> from(data.size());
        std::vector<unsigned char*> to(out.size());
        for (std::size_t at = 0; at < data.front().size(); at += step) {
            const auto length = std::min(step, data.front().size() - at);
            for (std::size_t i = 0; i < data.size(); ++i) from[i] = writable(data[i]) + at;
            for (std::size_t i = 0; i < out.size(); ++i) to[i] = writable(out[i]) + at;
            ec_encode_data(static_cast<int>(length), m_shape.k, static_cast<int>(out.size()), const_cast<unsigned char*>(tables.data()), from.data(), to.data());
        }
    }

    const geometry m_shape;
    const matrix m_generator;
    const matrix m_tables;  // of the coding rows
};

result<std::uint8_t> parse_count(std::string_view text) {
    std::uint8_t n = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (failure != std::errc() || end != text.data() + text.size()) return errc::invalid;
    return n;
}

}  // namespace

result<geometry> parse_geometry(std::string_view text) {
    const auto bad = [&] { return error(errc::invalid, "erasure geometry \"" + std::string(text) + "\": write K+M, with K from 1 to 32 and M up to 16"); };
    const auto plus = text.find('+');
    if (plus == std::string_view::npos) return bad();
    const auto k = parse_count(text.substr(0, plus));
    const auto m = parse_count(text.substr(plus + 1));
    if (!k || !m) return bad();
    const geometry g{*k, *m};
    if (!g.valid()) return bad();
    return g;
}

// Jerasure initialises its field tables on first use without a lock: they are made under this one.
result<std::shared_ptr<const codec>> codec::make(geometry g) {
    if (!g.valid()) return error(errc::invalid, "erasure geometry out of bounds");
    static std::mutex mutex;
    static std::map<std::pair<std::uint8_t, std::uint8_t>, std::shared_ptr<const codec>> made;
    const std::lock_guard lock(mutex);
    auto& known = made[{g.k, g.m}];
    if (!known) known = std::make_shared<isal_codec>(g);
    return known;
}

}  // namespace cess::erasure
