//! Which addresses may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// How far a destination may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere: our own configuration says so.
    Written,
    /// On this machine.
    Loopback,
    /// Where everybody may connect to, and nowhere else.
    Public,
}

impl Reach {
    /// Whether this address may be connected to.
    pub(super) fn admits(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Written, _) => true,
            (Self::Loopback, address) => address.to_canonical().is_loopback(),
            (Self::Public, IpAddr::V4(address)) => {
                !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
            }
            (Self::Public, IpAddr::V6(address)) => {
                UNICAST_V6.contains(&address)
                    && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
            }
        }
    }

    /// What is wrong with an address that is not admitted.
    pub(super) const fn complaint(self) -> &'static str {
        match self {
            Self::Written => "refused",
            Self::Loopback => "not on this machine",
            Self::Public => "not public",
        }
    }
}

/// Of the IANA IPv4 special-purpose address registry (RFC 6890), what is not globally reachable, and
/// what is no single machine.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),       // this network: RFC 791
    v4([10, 0, 0, 0], 8),      // private: RFC 1918
    v4([100, 64, 0, 0], 10),   // shared, behind carriers: RFC 6598
    v4([127, 0, 0, 0], 8),     // loopback: RFC 1122
    v4([169, 254, 0, 0], 16),  // link-local, metadata of clouds among it: RFC 3927
    v4([172, 16, 0, 0], 12),   // private: RFC 1918
    v4([192, 0, 0, 0], 24),    // protocol assignments: RFC 6890
    v4([192, 0, 2, 0], 24),    // documentation: RFC 5737
    v4([192, 88, 99, 0], 24),  // 6to4 relays: RFC 7526
    v4([192, 168, 0, 0], 16),  // private: RFC 1918
    v4([198, 18, 0, 0], 15),   // benchmarks: RFC 2544
    v4([198, 51, 100, 0], 24), // documentation: RFC 5737
    v4([203, 0, 113, 0], 24),  // documentation: RFC 5737
    v4([224, 0, 0, 0], 4),     // multicast: RFC 5771
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast: RFC 1112, RFC 8190
];

/// All that IANA gives out (RFC 4291, section 2.4). Outside of it are loopback, mapped and compatible
/// IPv4, NAT64, the discard prefix, segment routing, unique local, link-local and multicast.
const UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// What in it is not globally reachable, or leads on to some IPv4 address.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 23), // protocol assignments, Teredo among them: RFC 2928
    v6([0x2001, 0x0db8, 0], 32), // documentation: RFC 3849
    v6([0x2002, 0, 0], 16), // 6to4: RFC 3056
    v6([0x3fff, 0, 0], 20), // documentation: RFC 9637
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c]: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for (address, is_public) in [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("93.184.216.34", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.170", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.7", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("239.255.255.250", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001::1", true),
            ("2001:4860:4860::8888", true),
            ("::", false),
            ("::1", false),
            ("::8.8.8.8", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::8.8.8.8", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:2::1", false),
            ("2001:10::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::", false),
            ("3fff::1", false),
            ("4000::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(Reach::Public.admits(parsed), is_public, "{address}");
            assert!(Reach::Written.admits(parsed), "{address}");
        }
    }

    #[test]
    fn loopback_is_this_machine_in_every_spelling() {
        for (address, is_loopback) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("8.8.8.8", false),
            ("169.254.169.254", false),
        ] {
            let parsed = address.parse().unwrap();
            assert_eq!(Reach::Loopback.admits(parsed), is_loopback, "{address}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn nothing_the_standard_library_knows_as_special_is_public(v4: u32, v6: u128) {
            let v4 = Ipv4Addr::from(v4);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                || v4.is_unspecified();
            prop_assert!(!(special && Reach::Public.admits(v4.into())), "{v4}");
            prop_assert!(!Reach::Public.admits(v4.to_ipv6_mapped().into()), "{v4}");
            prop_assert!(!Reach::Public.admits(v4.to_ipv6_compatible().into()), "{v4}");
            let v6 = Ipv6Addr::from(v6);
            let special = v6.is_loopback() || v6.is_multicast() || v6.is_unique_local()
                || v6.is_unicast_link_local() || v6.is_unspecified() || v6.to_ipv4().is_some();
            prop_assert!(!(special && Reach::Public.admits(v6.into())), "{v6}");
        }
    }
}
