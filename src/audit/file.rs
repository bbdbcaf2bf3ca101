//! The file as a sink: appended to, rotated, and put in order after a crash.
//!
//! What a failed write left behind is cut off before the next one. After a crash that is what stands behind the last
//! line end: it was never answered for. A line that has its end is never touched.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use time::{Date, UtcDateTime};

use super::chain::{BEGIN, Head, Line, Parsed, parse};
use super::sinks::{Failed, Recovered, Sink, text};

/// Bytes of a line at most. Names are bounded by the configuration, and a line is about 600 bytes long.
const LINE_BYTES: u64 = 64 * 1024;
/// Bytes at the end of a file in which a line is looked for first: more than is between two checkpoints.
const NEAR_BYTES: u64 = 4 * 1024 * 1024;

/// When a file is full.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes from which on the next lines go into a new file.
    pub bytes: u64,
    /// Whether each day (UTC) has a file of its own.
    pub daily: bool,
}

/// The file.
#[derive(Debug)]
pub(super) struct Logfile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// The day of its first line; none where it is empty.
    day: Option<Date>,
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Found {
    /// The last line, in this file or in the one before.
    pub(super) last: Option<Head>,
    /// Bytes of a torn line that were cut off.
    pub(super) torn: u64,
}

impl Logfile {
    /// Opens the file for this process alone, or makes it; nobody but its owner reads it.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> Result<(Self, Found), Failed> {
        make_folder(&path)?;
        let mut file = opened(&path)?;
        let length = file.metadata()?.len();
        let (whole, tail) = whole(&mut file, length)?;
        if whole == 0 && !ours(&tail) {
            return Err(Failed::Foreign);
        }
        let last = match tail.rsplit(|byte| *byte == b'\n').nth(1) {
            Some(line) => Some(read(line).ok_or(Failed::Foreign)?.head),
            None => rotated_last(&path)?,
        };
        file.set_len(whole)?;
        sync_folder(&path)?;
        let day = first_day(&mut file)?;
        Ok((Self { path, rotation, file, length: whole, day }, Found { last, torn: length - whole }))
    }

    /// Whether the path still leads to the file: someone may have moved it, or removed the folder.
    fn is_in_place(&self) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let open = self.file.metadata()?;
            match fs::metadata(&self.path) {
                Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        }
        #[cfg(not(unix))]
        fs::exists(&self.path)
    }

    fn is_full(&self, now: UtcDateTime) -> bool {
        let another_day = self.rotation.daily && self.day.is_some_and(|day| day != now.date());
        self.length >= self.rotation.bytes || another_day
    }

    /// Gives the file its suffix, by which names sort as the chain goes: the day, and the number of its last line.
    fn set_aside(&self, now: UtcDateTime, last: &Head) -> Result<(), Failed> {
        self.file.sync_all()?;
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}-{:012}", now.date().to_string().replace('-', ""), last.seq));
        if fs::exists(&name)? {
            return Err(Failed::Taken);
        }
        Ok(fs::rename(&self.path, name)?)
    }
}

impl Sink for Logfile {
    fn ready(&mut self, now: UtcDateTime, last: &Head) -> Result<bool, Failed> {
        let mut gone = !self.is_in_place()?;
        if !gone && self.length > 0 && self.is_full(now) {
            self.set_aside(now, last)?;
            gone = true;
        }
        if gone {
            let file = opened(&self.path)?;
            if file.metadata()?.len() > 0 {
                return Err(Failed::Foreign);
            }
            (self.file, self.length, self.day) = (file, 0, None);
            sync_folder(&self.path)?;
        }
        if self.length == 0 {
            self.day = Some(now.date());
        }
        Ok(self.length == 0)
    }

    fn take(&mut self, lines: &[Line], durable: bool) -> Result<(), Failed> {
        let text = text(lines);
        self.file.write_all(text.as_bytes())?;
        if durable {
            self.file.sync_data()?;
        }
        self.length = self.length.saturating_add(text.len() as u64);
        Ok(())
    }

    /// In this file, or in the one that was rotated with it.
    fn has(&self, line: &Head) -> Result<bool, Failed> {
        if has_line(&self.file, line)? {
            return Ok(true);
        }
        let with_it = rotated(&self.path)?.range(line.seq..).next().map(|(_, path)| File::open(path)).transpose()?;
        Ok(with_it.is_some_and(|file| has_line(&file, line).unwrap_or(false)))
    }

    fn recover(&mut self) -> Result<Recovered, Failed> {
        self.file.set_len(self.length)?;
        Ok(Recovered::Same)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    let mut folder = DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(parent)
}

fn opened(path: &Path) -> Result<File, Failed> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failed::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// So that the new name survives the machine, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// How many bytes the whole lines have, and the last of them with what is behind.
fn whole(file: &mut File, length: u64) -> io::Result<(u64, Vec<u8>)> {
    let from = length.saturating_sub(2 * LINE_BYTES);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((if whole == 0 { 0 } else { from + whole as u64 }, tail))
}

/// Whether a file without a whole line can be ours: a line that was never finished.
fn ours(fragment: &[u8]) -> bool {
    fragment.starts_with(BEGIN.as_bytes()) || BEGIN.as_bytes().starts_with(fragment)
}

fn read(line: &[u8]) -> Option<Parsed<'_>> {
    parse(std::str::from_utf8(line).ok()?).filter(|line| line.is_whole)
}

fn first_day(file: &mut File) -> io::Result<Option<Date>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&*file).take(LINE_BYTES).read_to_end(&mut head)?;
    Ok(head.split(|byte| *byte == b'\n').next().and_then(read).map(|line| line.content.time.date()))
}

/// Whether a file has the line, which nearly always is close to the end.
fn has_line(file: &File, line: &Head) -> io::Result<bool> {
    let begin = format!("{BEGIN}{}\",\"seq\":{},", line.writer, line.seq);
    for from in [file.metadata()?.len().saturating_sub(NEAR_BYTES), 0] {
        let mut file = BufReader::new(file);
        file.seek(SeekFrom::Start(from))?;
        for found in file.split(b'\n') {
            let found = found?;
            if found.starts_with(begin.as_bytes()) && read(&found).is_some_and(|found| found.head == *line) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The files that were rotated, by the number of the last line of each.
fn rotated(path: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let prefix = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut rotated = BTreeMap::new();
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let seq = name.strip_prefix(&prefix).and_then(|suffix| suffix.split_once('-')?.1.parse().ok());
        rotated.extend(seq.map(|seq| (seq, entry.path())));
    }
    Ok(rotated)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The last line of the file that was rotated last.
fn rotated_last(path: &Path) -> Result<Option<Head>, Failed> {
    let Some((_, path)) = rotated(path)?.pop_last() else { return Ok(None) };
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let (_, tail) = whole(&mut file, length)?;
    let line = tail.rsplit(|byte| *byte == b'\n').nth(1);
    Ok(Some(line.and_then(read).ok_or(Failed::Foreign)?.head))
}
