//! The limits that no input can lift. Settings may lower them.
//!
//! A *packet* is one UDP datagram sent or one TCP connection opened: what a
//! packet filter outside of the program can count, too.

use std::time::Duration;

/// How much one check may cost the world and this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// B1: packets per check.
    pub packets: u32,
    /// B2: packets to one address per check.
    pub packets_per_address: u32,
    /// B3: the same question to the same address over the same transport.
    pub same_question: u32,
    /// B4: NS names considered per delegation.
    pub name_servers: usize,
    /// B4: addresses considered per name and family.
    pub addresses_per_name: usize,
    /// B4: addresses considered per delegation.
    pub addresses: usize,
    /// B5: address look-ups for name servers without glue.
    pub lookups: usize,
    /// B5: how deep such look-ups may nest.
    pub nesting: usize,
    /// B6: referral steps on one walk.
    pub referrals: usize,
    /// B7: CNAME and DNAME steps on one walk.
    pub aliases: usize,
    /// B8: the longest a check may take.
    pub wall_time: Duration,
    /// B9: octets received per check.
    pub octets: usize,
    /// B9: the largest TCP message that is decoded, in octets.
    pub tcp_message: usize,
    /// B9: the largest UDP payload that is accepted, in octets.
    pub udp_message: usize,
    /// B10: opening a TCP connection.
    pub tcp_connect: Duration,
    /// B10: the first octet of an answer over TCP.
    pub tcp_first: Duration,
    /// B10: a whole answer over TCP.
    pub tcp_whole: Duration,
}

impl Limits {
    /// The limits of a full round; a one-shot check is one.
    pub const FULL_ROUND: Self = Self {
        packets: 320,
        packets_per_address: 12,
        same_question: 3,
        name_servers: 13,
        addresses_per_name: 4,
        addresses: 32,
        lookups: 8,
        nesting: 2,
        referrals: 16,
        aliases: 8,
        wall_time: Duration::from_secs(45),
        octets: 256 * 1024,
        tcp_message: 16 * 1024,
        udp_message: 4096,
        tcp_connect: Duration::from_secs(3),
        tcp_first: Duration::from_secs(3),
        tcp_whole: Duration::from_secs(5),
    };
}
