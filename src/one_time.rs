//! The use of one-time tokens: last of all, and where it is audited, written down before. It cannot be given back, so that
//! a token without its record is not used.

use crate::account::{Account, Ending};
use crate::authority::Authority;
use crate::hearing::Hearing;
use crate::order::Proof;
use crate::refusal::{Reason, Refusal};

impl Authority {
    /// Uses a one-time token. Nothing that can fail comes after it, and one of those who try is accepted. Who was written
    /// down and comes too late leaves a second line.
    pub(crate) async fn use_up(
        &self,
        account: &mut Account<'_>,
        hearing: &Hearing<'_>,
        proof: &Proof,
    ) -> Result<(), Refusal> {
        let Some(used) = hearing.use_of(proof) else { return Ok(()) };
        if self.books.audit.covers(account.rpc) {
            // Nearly all who come too late are found here, and leave one line.
            self.refuse_used(hearing, proof).await?;
            account.presented.clone_from(&hearing.presented);
            self.write_down(account, Ending::Done).await?;
        }
        match self.store.use_up(used, hearing.now).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::TokenReplayed.into()),
            Err(_away) => Err(Refusal::StoreUnavailable),
        }
    }

    /// What [`use_up`](Self::use_up) would say now.
    pub(crate) async fn refuse_used(&self, hearing: &Hearing<'_>, proof: &Proof) -> Result<(), Refusal> {
        let Some(used) = hearing.use_of(proof) else { return Ok(()) };
        match self.store.is_used(used.token, hearing.now).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Reason::TokenReplayed.into()),
            Err(_away) => Err(Refusal::StoreUnavailable),
        }
    }
}
