#include <chain/consensus/cks_coin.hpp>

#include <stdexcept>

namespace cess::consensus {
namespace {

using crypto::ristretto::point;
using crypto::ristretto::scalar;
using crypto::ristretto::secret_scalar;
namespace group = crypto::ristretto;

struct proved_share {
    point value;       // sᵢ·K
    scalar challenge;  // c
    scalar answer;     // z = w + c·sᵢ
    template <class S, class C> static void describe(S& s, C& c) { c(s.value, s.challenge, s.answer); }
};

template <class... Parts>
bytes joined(std::string_view tag, const Parts&... parts) {
    auto out = to_bytes(tag);
    (append(out, parts), ...);
    return out;
}

// Of a computation that fails for the neutral element only, which chance does not hit.
point some(const std::optional<point>& p) {
    if (!p) throw std::runtime_error("coin: a secret of zero");
    return *p;
}

scalar challenge_of(byte_view name, const point& verification, const point& value, const point& commitment, const point& commitment_at_coin) {
    return group::hash_to_scalar(joined("cess coin proof v1", name, verification.view(), value.view(), commitment.view(), commitment_at_coin.view()));
}

// Of member i's place i+1, at zero, among the places of `used`.
scalar lagrange_at_zero(author_index member, const std::vector<author_index>& used) {
    auto numerator = group::scalar_of(1), denominator = numerator;
    const auto own = group::scalar_of(member + 1U);
    for (const auto other : used) {
        if (other == member) continue;
        const auto place = group::scalar_of(other + 1U);
        numerator = numerator * place;
        denominator = denominator * (place - own);
    }
    return numerator * group::inverse(denominator);
}

}  // namespace

coin_sharing deal_coin(random_source& random, std::size_t members, std::size_t quorum) {
    std::vector<secret_scalar> coefficients(quorum);
    for (auto& coefficient : coefficients) {
        const auto seed = crypto::secret_key::generate(random);
        coefficient.value = group::hash_to_scalar(seed.view());
    }
    coin_sharing out;
    for (std::size_t member = 0; member < members; ++member) {
        const auto place = group::scalar_of(member + 1);
        secret_scalar at;
        for (auto c = coefficients.rbegin(); c != coefficients.rend(); ++c) {
            const secret_scalar shifted{at.value * place};
            at.value = shifted.value + c->value;
        }
        out.secrets.emplace_back(at.value.view());
        out.verification.push_back(some(group::times_base(at.value)));
    }
    return out;
}

bytes cks_coin::name_of(coin_number of) const { return wire::encode(std::pair(m_network, std::pair(m_epoch, of))); }

// A function of all that goes into the challenge: with the same nonce under two challenges two proofs give the secret away.
secret_scalar cks_coin::nonce_of(byte_view name) const {
    const auto seed = crypto::hkdf(m_secret, joined("cess coin nonce v1", name, m_verification[m_self].view()), "nonce");
    return {group::hash_to_scalar(seed.view())};
}

bytes cks_coin::share(coin_number of) const {
    const auto name = name_of(of);
    const auto at = group::hash_to_point(joined("cess coin v1", name));
    const secret_scalar secret{scalar::from(m_secret.view())};
    const auto nonce = nonce_of(name);
    proved_share out;
    out.value = some(secret.value * at);
    out.challenge = challenge_of(name, m_verification[m_self], out.value, some(group::times_base(nonce.value)), some(nonce.value * at));
    const secret_scalar masked{out.challenge * secret.value};
    out.answer = nonce.value + masked.value;
    return wire::encode(out);
}

bool cks_coin::holds(coin_number of, author_index member, byte_view share) const {
    const auto given = wire::decode<proved_share>(share);
    if (!given || member >= m_verification.size()) return false;
    if (!group::valid(given->value) || !group::canonical(given->challenge) || !group::canonical(given->answer)) return false;
    const auto name = name_of(of);
    const auto at = group::hash_to_point(joined("cess coin v1", name));
    const auto& verification = m_verification[member];
    const auto left = group::times_base(given->answer), right = given->challenge * verification;
    const auto left_at_coin = given->answer * at, right_at_coin = given->challenge * given->value;
    if (!left || !right || !left_at_coin || !right_at_coin) return false;
    return challenge_of(name, verification, given->value, *left - *right, *left_at_coin - *right_at_coin) == given->challenge;
}

hash256 cks_coin::combine(coin_number of, const std::map<author_index, bytes>& shares) const {
    if (shares.size() < m_quorum) throw std::logic_error("coin: combining fewer shares than make a value");
    std::vector<author_index> used;
    for (auto at = shares.begin(); at != shares.end() && used.size() < m_quorum; ++at) used.push_back(at->first);
    std::optional<point> sum;
    for (const auto member : used) {
        const auto given = wire::decode<proved_share>(shares.at(member));
        if (!given) throw std::logic_error("coin: combining a share that does not hold");
        const auto part = some(lagrange_at_zero(member, used) * given->value);
        sum = sum ? *sum + part : part;
    }
    return crypto::sha256(joined("cess coin value v1", name_of(of), some(sum).view()));
}

}  // namespace cess::consensus
