//! What operators do to an authority: dropping what is remembered, revoking, restoring.

use time::UtcDateTime;

use crate::account::{Account, Ending};
use crate::authority::Authority;
use crate::observe::events;
use crate::order::{InvalidateOrder, RestoreOrder, RevokeOrder};
use crate::refusal::Refusal;
use crate::revocation::{self, Target};

impl Authority {
    /// Drops what claim sources are remembered to have said about a subject, on every replica.
    pub async fn invalidate(&self, account: &mut Account<'_>, order: &InvalidateOrder) -> Result<(), Refusal> {
        let (snapshot, now) = self.present();
        let application = &snapshot.application_for(account.caller, &order.application)?.name;
        account.subjects = vec![order.subject.clone()];
        self.write_down(account, Ending::Done).await?;
        let told = self.pipeline.invalidate(application, &order.subject, now).await;
        events::Invalidated { caller: &account.caller.name, application, told: told.is_ok() }.emit();
        told.map_err(|_unreachable| Refusal::StoreUnavailable)
    }

    /// Refuses a token, a subject or a key from now on. Gives the second up to which tokens of a subject are refused.
    pub async fn revoke(&self, account: &mut Account<'_>, order: &RevokeOrder) -> Result<UtcDateTime, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &order.application)?;
        match &order.target {
            Target::Subject(subject) => account.subjects = vec![subject.clone()],
            Target::Key(id) if !application.keys.has(id) => {
                return Err(Refusal::field("key_id", "is not a key of this application"));
            }
            Target::Key(_) | Target::Token(_) => {}
        }
        account.revoked = Some(order.target.clone());
        self.write_down(account, Ending::Done).await?;
        let revoked = order.target.revoked(application, order.expires_at, now);
        let kept = self.store.revoke(revoked, now).await.map_err(|_away| Refusal::StoreUnavailable);
        events::Revoked { caller: &account.caller.name, application: &application.name, kept: kept.is_ok() }.emit();
        kept.map(|()| now.truncate_to_second())
    }

    /// Accepts the hashes of a subject again. Whether they were refused.
    pub async fn restore(&self, account: &mut Account<'_>, order: &RestoreOrder) -> Result<bool, Refusal> {
        let (snapshot, now) = self.present();
        let application = &snapshot.application_for(account.caller, &order.application)?.name;
        account.subjects = vec![order.subject.clone()];
        self.write_down(account, Ending::Done).await?;
        let hashes = revocation::hashes(application, order.subject.kind, &order.subject.value);
        let was_revoked = self.store.restore(hashes, now).await.map_err(|_away| Refusal::StoreUnavailable)?;
        events::Restored { caller: &account.caller.name, application, was_revoked }.emit();
        Ok(was_revoked)
    }
}
