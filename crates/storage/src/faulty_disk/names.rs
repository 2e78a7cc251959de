//! Directories: what a lookup sees, what is on the disk, and the changes between the two.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::CrashReport;
use super::pages::Pages;
use super::rng::Rng;

#[derive(Clone)]
pub(super) enum Entry {
    Dir,
    File(Arc<Mutex<Pages>>),
}

#[derive(Default)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    unsynced: Vec<NameChange>,
}

struct NameChange {
    dir: PathBuf,
    gone: Option<PathBuf>,
    made: Option<(PathBuf, Entry)>,
}

impl Names {
    /// Names that are all safe.
    pub(super) fn holding(names: BTreeMap<PathBuf, Entry>) -> Names {
        Names { seen: names.clone(), durable: names, unsynced: Vec::new() }
    }

    pub(super) fn seen_entries(&self) -> impl Iterator<Item = (&PathBuf, &Entry)> {
        self.seen.iter()
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        is_root(path) || self.seen.contains_key(path)
    }

    pub(super) fn file(&self, path: &Path) -> Option<Arc<Mutex<Pages>>> {
        match self.seen.get(path)? {
            Entry::File(pages) => Some(pages.clone()),
            Entry::Dir => None,
        }
    }

    pub(super) fn seen_files(&self) -> impl Iterator<Item = &Arc<Mutex<Pages>>> {
        self.seen.values().filter_map(|entry| match entry {
            Entry::File(pages) => Some(pages),
            Entry::Dir => None,
        })
    }

    /// Every file that has a name or may have one again after a crash, in the order of the names.
    pub(super) fn files(&self) -> impl Iterator<Item = Arc<Mutex<Pages>>> + use<> {
        let mut files: Vec<Arc<Mutex<Pages>>> = Vec::new();
        for entry in self.seen.values().chain(self.durable.values()) {
            if let Entry::File(pages) = entry
                && !files.iter().any(|known| Arc::ptr_eq(known, pages))
            {
                files.push(pages.clone());
            }
        }
        files.into_iter()
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.exists(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.seen.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect())
    }

    pub(super) fn create(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.exists(dir_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(path, None, Some((path.to_path_buf(), entry)));
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        if self.exists(dir) {
            return Ok(());
        }
        self.create_dir_all(dir_of(dir))?;
        self.create(dir, Entry::Dir)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let entry = self.seen.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.change(to, Some(from.to_path_buf()), Some((to.to_path_buf(), entry)));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.file(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(path, Some(path.to_path_buf()), None);
        Ok(())
    }

    pub(super) fn sync(&mut self, dir: &Path) {
        let (now, later) = std::mem::take(&mut self.unsynced).into_iter().partition(|change| change.dir == dir);
        self.unsynced = later;
        let now: Vec<NameChange> = now;
        for change in now {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn crash(&mut self, rng: &mut Rng, report: &mut CrashReport) {
        for change in self.unsynced.drain(..) {
            if rng.coin() {
                report.kept += 1;
                change.apply(&mut self.durable);
            } else {
                report.lost += 1;
            }
        }
        self.forget_orphans();
        self.seen = self.durable.clone();
    }

    /// What lies in a directory that was lost is lost with it.
    fn forget_orphans(&mut self) {
        // Parents sort before their children, so one pass sees every loss.
        let mut kept: BTreeMap<PathBuf, Entry> = BTreeMap::new();
        for (path, entry) in std::mem::take(&mut self.durable) {
            let parent = dir_of(&path);
            if is_root(parent) || kept.contains_key(parent) {
                kept.insert(path, entry);
            }
        }
        self.durable = kept;
    }

    fn change(&mut self, path: &Path, gone: Option<PathBuf>, made: Option<(PathBuf, Entry)>) {
        let change = NameChange { dir: dir_of(path).to_path_buf(), gone, made };
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, entry)) = &self.made {
            names.insert(path.clone(), entry.clone());
        }
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/")
}
