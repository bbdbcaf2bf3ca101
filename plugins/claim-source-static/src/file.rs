//! A file of claims that is read again when it changes. No thread watches it: an ask looks whether it has changed.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use countersign_claim_source::{Answer, OpenError, Why};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::format::{FILE_BYTES, Format};
use crate::tables::Tables;

/// How often a file is looked at, at most. It is how old an answer may be after a change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file, and what it said when it was read last.
pub(crate) struct File {
    path: PathBuf,
    format: Format,
    version: ArcSwap<Version>,
    reading: Mutex<()>,
    opened: Instant,
    /// Milliseconds from `opened` to the last look.
    looked: AtomicU64,
}

/// One reading of the file.
struct Version {
    /// Of the file that was read; none where nothing could be read.
    stamp: Option<Stamp>,
    /// Whether two looks found the same stamp and the file was read after the second. A write just after the first
    /// reading may leave the stamp as it was, because a file system's clock moves in steps.
    settled: bool,
    content: Result<Arc<Tables>, Fault>,
}

/// Why there is nothing to say, and the answer that it leads to.
#[derive(Clone, Debug)]
pub(crate) struct Fault(fn(Why) -> Answer, Why);

impl Fault {
    pub(crate) fn answer(self) -> Answer {
        (self.0)(self.1)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self(Answer::Unavailable, "the file is not there".into())
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Self(Answer::Denied, "the file may not be read".into())
        } else {
            let code = error.raw_os_error().unwrap_or(0);
            Self(Answer::Unavailable, Why::code("the file cannot be read: OS error", code))
        }
    }
}

const BROKEN_OFF: &str = "reading the file was broken off";

/// What changes whenever the file does. It follows links: mounted secrets and ConfigMaps are changed by changing a link.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

fn stamp(file: &fs::Metadata) -> Stamp {
    let (modified, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    (file.dev(), file.ino(), file.len(), modified.0, modified.1, changed.0, changed.1)
}

impl File {
    /// Reads the file for the first time. It has to be there and right.
    pub(crate) async fn open(path: PathBuf, format: Format) -> Result<Arc<Self>, OpenError> {
        let first = spawn_blocking(move || (Version::new(&path, &format, None), path, format)).await;
        let (version, path, format) = first.map_err(|_panicked| OpenError(BROKEN_OFF.to_owned()))?;
        if let Err(Fault(_, why)) = &version.content {
            return Err(OpenError(why.to_string()));
        }
        let (opened, looked) = (Instant::now(), AtomicU64::new(0));
        Ok(Arc::new(Self {
            path,
            format,
            version: ArcSwap::from_pointee(version),
            reading: Mutex::default(),
            opened,
            looked,
        }))
    }

    /// What the file says now, or said at most [`LOOK_EVERY`] ago.
    ///
    /// A file that cannot be read, or is not what it should be, says nothing: the version before may grant what the new
    /// one takes away, and nobody would notice. Whether old claims are better than none is what `on_error` is for; the
    /// host counts, logs and bounds that.
    pub(crate) async fn tables(self: &Arc<Self>) -> Result<Arc<Tables>, Fault> {
        if self.is_due() {
            // The look goes on where the ask is dropped: a file that takes longer to read than an ask may take would
            // never be read otherwise.
            let file = Arc::clone(self);
            let looked = spawn_blocking(move || file.look()).await;
            looked.map_err(|_panicked| Fault(Answer::Unavailable, BROKEN_OFF.into()))?;
        }
        self.version.load().content.clone()
    }

    /// Whether it is time to look, which it is for one ask only.
    fn is_due(&self) -> bool {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = self.looked.load(Ordering::Relaxed);
        let due = u128::from(now.saturating_sub(looked)) >= LOOK_EVERY.as_millis();
        due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn look(&self) {
        // Whoever comes while it is being read has the version before.
        let Ok(_reading) = self.reading.try_lock() else { return };
        let last = self.version.load();
        let now = fs::metadata(&self.path).ok().map(|file| stamp(&file));
        if !last.settled || now != last.stamp {
            self.version.store(Arc::new(Version::new(&self.path, &self.format, last.stamp)));
        }
    }
}

impl Version {
    fn new(path: &Path, format: &Format, last: Option<Stamp>) -> Self {
        match bytes(path) {
            Ok((stamp, bytes)) => {
                let content = format.read(&bytes).map(Arc::new).map_err(|why| Fault(Answer::Malformed, why));
                Self { stamp: Some(stamp), settled: last == Some(stamp), content }
            }
            Err(fault) => Self { stamp: None, settled: false, content: Err(fault) },
        }
    }
}

/// The content of the file, with one byte more than is taken where it is too large.
fn bytes(path: &Path) -> Result<(Stamp, Vec<u8>), Fault> {
    // Opening a pipe would wait for somebody who writes.
    if !fs::metadata(path)?.is_file() {
        return Err(Fault(Answer::Malformed, "the path is not that of a file".into()));
    }
    let file = fs::File::open(path)?;
    let stamp = stamp(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    const FREE: &str = r#"{"claims": {"plan": "Free"}}"#;
    const GOLD: &str = r#"{"claims": {"plan": "Gold"}}"#;

    async fn open(path: &Path) -> Arc<File> {
        let format = Format::new(Some("json"), &["plan".to_owned()], Vec::new()).expect("a format");
        File::open(path.to_owned(), format).await.expect("a file")
    }

    /// A folder with `claims.json`.
    async fn opened() -> (tempfile::TempDir, PathBuf, Arc<File>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claims.json");
        fs::write(&path, FREE).expect("written");
        let file = open(&path).await;
        (folder, path, file)
    }

    /// What an ask finds after the next look.
    async fn plan(file: &Arc<File>) -> Result<String, Answer> {
        tokio::time::advance(LOOK_EVERY).await;
        let tables = file.tables().await.map_err(Fault::answer)?;
        Ok(tables.claims.get("plan").and_then(Value::as_str).expect("a plan").to_owned())
    }

    fn answer(wrong: &Result<String, Answer>) -> &'static str {
        match wrong {
            Err(Answer::Unavailable(_)) => "unavailable",
            Err(Answer::Malformed(_)) => "malformed",
            _ => "neither",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_changes() {
        let (folder, path, file) = opened().await;
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        fs::write(&path, GOLD).expect("written in place");
        assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
        let new = folder.path().join("new");
        fs::write(&new, FREE).expect("written beside");
        fs::rename(&new, &path).expect("put in its place");
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_behind_a_link_is_read_again_when_the_link_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        // As Kubernetes mounts a ConfigMap: the file is a link into a folder that is a link.
        for (name, content) in [("..1", FREE), ("..2", GOLD)] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
            fs::write(folder.path().join(name).join("claims.json"), content).expect("written");
        }
        symlink("..1", folder.path().join("..data")).expect("a link");
        let path = folder.path().join("claims.json");
        symlink("..data/claims.json", &path).expect("a link");
        let file = open(&path).await;
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        symlink("..2", folder.path().join("..new")).expect("a link");
        fs::rename(folder.path().join("..new"), folder.path().join("..data")).expect("put in its place");
        assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_looked_at_no_more_often_than_it_says() {
        let (_folder, path, file) = opened().await;
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        fs::write(&path, GOLD).expect("written");
        tokio::time::advance(LOOK_EVERY - Duration::from_millis(1)).await;
        let before = file.tables().await.expect("tables");
        assert_eq!(before.claims.get("plan"), Some(&Value::from("Free")));
        assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_stands_still_is_read_twice_and_not_again() {
        let (_folder, _path, file) = opened().await;
        let first = file.version.load_full();
        assert!(!first.settled && first.stamp.is_some());
        // A write within one step of the file system's clock leaves the stamp as it was.
        let missed = Version { stamp: first.stamp, settled: false, content: Ok(Arc::default()) };
        file.version.store(Arc::new(missed));
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        let second = file.version.load_full();
        assert!(second.settled);
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        assert!(Arc::ptr_eq(&second, &file.version.load_full()), "it was read a third time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_file_says_nothing_until_it_is_mended() {
        let (_folder, path, file) = opened().await;
        for broken in [r#"{"claims": {"plan": "Gol"#, "", "<html>", r#"{"claims": {"role": "admin"}}"#] {
            fs::write(&path, broken).expect("written");
            assert_eq!(answer(&plan(&file).await), "malformed", "{broken}");
            assert_eq!(answer(&plan(&file).await), "malformed", "{broken}, still");
            fs::write(&path, GOLD).expect("mended");
            assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
        }
        fs::write(&path, vec![b' '; FILE_BYTES + 1]).expect("written");
        assert_eq!(answer(&plan(&file).await), "malformed", "too large");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_went_away_is_unavailable_until_it_is_back() {
        let (_folder, path, file) = opened().await;
        fs::remove_file(&path).expect("removed");
        assert_eq!(answer(&plan(&file).await), "unavailable");
        fs::write(&path, GOLD).expect("back");
        assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_file_is_not_waited_for() {
        let (_folder, path, file) = opened().await;
        fs::remove_file(&path).expect("removed");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        assert_eq!(answer(&plan(&file).await), "malformed", "a pipe");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert_eq!(answer(&plan(&file).await), "malformed", "a folder");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_the_file_is_read_has_the_version_before() {
        let (_folder, path, file) = opened().await;
        let reading = file.reading.lock().await;
        fs::write(&path, GOLD).expect("written");
        assert_eq!(plan(&file).await.as_deref(), Ok("Free"));
        drop(reading);
        assert_eq!(plan(&file).await.as_deref(), Ok("Gold"));
    }

    #[test]
    fn a_file_is_read_though_the_ask_was_dropped() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).max_blocking_threads(1).build().expect("a runtime");
        runtime.block_on(async {
            let (_folder, path, file) = opened().await;
            fs::write(&path, GOLD).expect("written");
            tokio::time::advance(LOOK_EVERY).await;
            // The only thread that reads is busy until the ask has been dropped.
            let (free, busy) = std::sync::mpsc::channel();
            let thread = spawn_blocking(move || busy.recv());
            tokio::select! {
                biased;
                _ = file.tables() => panic!("nobody could read it"),
                () = std::future::ready(()) => {}
            }
            free.send(()).expect("somebody waits");
            thread.await.expect("no panic").expect("sent");
            spawn_blocking(|| ()).await.expect("the read before it is done");
            let tables = file.tables().await.expect("tables");
            assert_eq!(tables.claims.get("plan"), Some(&Value::from("Gold")));
        });
    }

    #[test]
    fn a_file_that_may_not_be_read_is_denied() {
        let fault = Fault::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(fault.answer(), Answer::denied("the file may not be read"));
    }
}
