//! What is logged of the audit log itself.

/// A run of the audit log has begun.
#[derive(Debug)]
pub struct AuditOpened<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Its chain.
    pub writer: &'a str,
    /// The number of its last line.
    pub seq: u64,
    /// Whose signatures follow.
    pub public_key: &'a str,
}

impl AuditOpened<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { sink, writer, seq, public_key } = self;
        tracing::info!(sink, writer, seq, public_key, "The audit log goes on");
    }
}

/// The audit log was signed up to here. The log of the server is a second witness of its end.
#[derive(Debug)]
pub struct AuditCheckpoint<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Its chain.
    pub writer: &'a str,
    /// The number of the line that signs.
    pub seq: u64,
    /// Its digest.
    pub hash: &'a str,
}

impl AuditCheckpoint<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { sink, writer, seq, hash } = self;
        tracing::info!(sink, writer, seq, hash, "The audit log was signed");
    }
}

/// The store knows nothing of the chain that goes on.
#[derive(Debug)]
pub struct AuditUnknown<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// The last record that is there.
    pub found: u64,
}

impl AuditUnknown<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { sink, found } = self;
        tracing::error!(sink, found, "The store does not know the audit log that goes on: one of them was replaced");
    }
}

/// The audit log ends before the record that the store knows.
#[derive(Debug)]
pub struct AuditCut<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// The last record that is there.
    pub found: u64,
    /// The last record that was known.
    pub known: u64,
}

impl AuditCut<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { sink, found, known } = self;
        tracing::error!(
            sink,
            found,
            known,
            "The end of the audit log was changed or cut off while the server was down"
        );
    }
}

/// A sink of the audit log does not take records.
#[derive(Debug)]
pub struct AuditFailed<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Why: about the file, never about what is in it.
    pub error: &'a str,
}

impl AuditFailed<'_> {
    /// Writes it, once for each time that it fails.
    pub fn emit(&self) {
        let Self { sink, error } = self;
        tracing::error!(sink, error, "The audit log cannot be written");
    }
}

/// A sink of the audit log takes records again.
#[derive(Debug)]
pub struct AuditBack<'a> {
    /// Which sink.
    pub sink: &'a str,
}

impl AuditBack<'_> {
    /// Writes it.
    pub fn emit(&self) {
        tracing::info!(sink = self.sink, "The audit log is written again");
    }
}

/// Records found no room before a sink of the audit log.
#[derive(Debug)]
pub struct AuditLost<'a> {
    /// Which sink.
    pub sink: &'a str,
}

impl AuditLost<'_> {
    /// Writes it, once until the loss stands in the log; how many there are is a metric.
    pub fn emit(&self) {
        tracing::error!(sink = self.sink, "Records of the audit log are lost: the sink is too slow, or away");
    }
}

/// The store did not keep the end of the audit log.
#[derive(Debug)]
pub struct AuditHeadLost<'a> {
    /// Of which sink.
    pub sink: &'a str,
}

impl AuditHeadLost<'_> {
    /// Writes it.
    pub fn emit(&self) {
        tracing::warn!(sink = self.sink, "The store did not keep the end of the audit log");
    }
}
