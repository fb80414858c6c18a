//! The certificates of live connections, looked at again.

use super::Shard;
use crate::gateway::effect::PeerId;
use crate::net::tls::CertFault;
use std::rc::Rc;

impl Shard {
    /// Judges the certificates of all connections again: another revocation list has come. Who was revoked
    /// goes.
    pub async fn look_again(self: &Rc<Self>) {
        let wall = self.clock.now().wall;
        for conn in self.all_streams() {
            let Some(cert) = conn.cert().filter(|cert| !cert.points(wall).is_empty()) else { continue };
            if self.dialer.look_again(cert, wall).await == Err(CertFault::Revoked) {
                let (event, address) = ("stream.revoked", conn.address);
                tracing::warn!(stoxd_event = event, %address, "the peer's certificate was revoked: the stream ends");
                conn.revoked(self.clock.now());
            }
        }
        for conn in self.all_links() {
            let Some(cert) = conn.cert.clone().filter(|cert| !cert.points(wall).is_empty()) else { continue };
            if self.dialer.look_again(cert, wall).await == Err(CertFault::Revoked) {
                let (event, address) = ("link.revoked", conn.address);
                tracing::warn!(stoxd_event = event, %address, "the peer's certificate was revoked: the link ends");
                conn.io.kill("the peer's certificate was revoked");
            }
        }
    }

    /// Fetches the revocation lists for all connections that are due.
    pub async fn refresh_lists(&self) {
        let streams = self.all_streams().into_iter().filter_map(|conn| conn.cert());
        let certs = streams.chain(self.all_links().into_iter().filter_map(|conn| conn.cert.clone()));
        self.dialer.refresh_lists(certs.collect(), self.clock.now().wall).await;
    }

    /// Ends the links of a peer, so that whoever is there proves anew who it is.
    pub fn close_links_of(&self, peer: PeerId, why: &str) {
        for conn in self.links.borrow().values().filter(|conn| conn.peer.get() == Some(peer)) {
            conn.io.kill(why);
        }
    }
}
