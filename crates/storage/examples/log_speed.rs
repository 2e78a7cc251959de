//! What the storage costs on a real disk: `cargo run --release -p storage --example log_speed -- DIR`.
//!
//! Makes and removes `DIR/log_speed`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage::{
    FoldRules, IndexKey, Journal, JournalMark, JournalRecord, Log, LogOptions, LogRecord, Owner, RECORD, RealDisk,
    Store, Unsynced,
};

const OWNER: Owner = Owner { cluster: 1, node: 1 };
const KEYS: u64 = 1_000_000;
const BATCH: u64 = 8_190;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let Some(dir) = std::env::args_os().nth(1) else { return Err("usage: log_speed DIR".into()) };
    let dir = PathBuf::from(dir).join("log_speed");
    std::fs::create_dir_all(&dir)?;
    let measured = measure_log(&dir).and_then(|()| measure_journal_and_store(&dir));
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure_log(dir: &Path) -> Outcome {
    let (mut log, _) = Log::open(RealDisk, dir, OWNER, LogOptions::default())?;
    let mut slot = 0;
    for bytes in [4 << 10, 64 << 10, 1 << 20] {
        // Recycled segments, as in a node that has run for a while.
        append_for(&mut log, Duration::from_millis(500), bytes, &mut slot)?;
        let (appends, took, p99) = append_for(&mut log, Duration::from_secs(3), bytes, &mut slot)?;
        let rate = f64::from(appends) / took.as_secs_f64();
        println!(
            "log, {:>4} KiB a group, each synced: {rate:>6.0}/s, {:>5.0} MB/s, p99 {:.2} ms",
            bytes >> 10,
            rate * bytes as f64 / 1e6,
            p99.as_secs_f64() * 1e3
        );
    }
    let batch = bytes::Bytes::from(vec![7; 1 << 20]);
    let started = Instant::now();
    for _ in 0..200 {
        slot += 1;
        let record = LogRecord::Accepted { slot, round: 1, node: 1, batch: batch.clone() };
        let _ = log.append(Unsynced::new(vec![record], ()))?;
        if let Some(job) = log.spare_job() {
            log.put_spare(job.run()?);
        }
    }
    println!("log, 1 MiB appended without sync: {:.2} ms each", started.elapsed().as_secs_f64() * 1e3 / 200.0);
    log.sync()?;
    drop(log);
    let started = Instant::now();
    let (log, _) = Log::open(RealDisk, dir, OWNER, LogOptions::default())?;
    println!("log, opened with {} MiB: {:.0} ms", log.size_bytes() >> 20, started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn append_for(
    log: &mut Log<RealDisk>,
    duration: Duration,
    bytes: usize,
    slot: &mut u64,
) -> Result<(u32, Duration, Duration), Box<dyn std::error::Error>> {
    let batch = bytes::Bytes::from(vec![7; bytes]);
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < duration {
        *slot += 1;
        let begun = Instant::now();
        let accepted = LogRecord::Accepted { slot: *slot, round: 1, node: 1, batch: batch.clone() };
        let pending = log.append(Unsynced::new(vec![accepted, LogRecord::Chosen { through: *slot }], ()))?;
        let proof = log.sync()?;
        pending.release(&proof).map_err(|_| "the proof is newer")?;
        times.push(begun.elapsed());
        if slot.is_multiple_of(200) {
            log.trim(slot.saturating_sub(400))?;
        }
    }
    let took = started.elapsed();
    times.sort();
    Ok((times.len() as u32, took, times[times.len() * 99 / 100]))
}

/// A record moves money between two accounts and has an id.
struct TwoAccounts;

impl FoldRules for TwoAccounts {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        put(&record[32..48], Some(&record[64..192]));
        put(&record[48..64], Some(&record[128..256]));
        Ok(())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        Some(IndexKey::new(0, u128::from_le_bytes(record[8..24].try_into().expect("16 bytes"))))
    }
}

fn scattered(n: u64) -> u128 {
    u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(n)
}

fn transfer(n: u64) -> JournalRecord {
    let mut record = [n as u8; RECORD];
    record[..2].copy_from_slice(&1u16.to_le_bytes());
    record[8..24].copy_from_slice(&scattered(n).to_le_bytes());
    record[32..48].copy_from_slice(&(scattered(2 * n % KEYS)).to_be_bytes());
    record[48..64].copy_from_slice(&(scattered((2 * n + 1) % KEYS)).to_be_bytes());
    record
}

fn measure_journal_and_store(dir: &Path) -> Outcome {
    let mut journal = Journal::open(RealDisk, dir, OWNER, JournalMark::START)?;
    let mut store = Store::open(RealDisk, dir, OWNER)?;
    let (mut slot, mut n) = (0, 0);
    // The first round makes all keys, the second changes half of them and is merged with them.
    for round in 1..=2 {
        let mut writing = Duration::ZERO;
        for _ in 0..KEYS / 2 / BATCH + 1 {
            slot += 1;
            let records: Vec<JournalRecord> = (n..n + BATCH).map(transfer).collect();
            let begun = Instant::now();
            journal.begin(slot);
            for record in &records {
                journal.push(record);
            }
            journal.finish()?;
            writing += begun.elapsed();
            n += BATCH;
        }
        let written = (KEYS / 2 / BATCH + 1) * BATCH * RECORD as u64;
        println!(
            "journal, batches of {BATCH}: {:.0} MB/s, {:.2} ms a batch",
            written as f64 / 1e6 / writing.as_secs_f64(),
            writing.as_secs_f64() * 1e3 / (KEYS / 2 / BATCH + 1) as f64
        );
        let started = Instant::now();
        let folded = store.fold(journal.reader(), journal.mark(), TwoAccounts).run()?;
        store.install(folded);
        println!(
            "fold {round} of {} records into {KEYS} keys: {:.0} ms",
            n / round,
            started.elapsed().as_secs_f64() * 1e3
        );
    }
    let started = Instant::now();
    let store = Store::open(RealDisk, dir, OWNER)?;
    let opened = started.elapsed();
    let entries = store.entries().map(|entry| entry.map(drop)).collect::<Result<Vec<()>, _>>()?.len();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!("store, opened: {:.0} ms; {entries} entries read: {:.0} ms", millis(opened), millis(started.elapsed()));
    let started = Instant::now();
    let found =
        (0..100_000).map(|k| store.find(IndexKey::new(0, scattered(k * 7 % n)))).collect::<Result<Vec<_>, _>>()?;
    assert!(found.iter().all(Option::is_some), "all ids are there");
    println!("id found: {:.2} µs", started.elapsed().as_secs_f64() * 10.0);
    let started = Instant::now();
    let wrong = (0..1_000_000).filter(|k| store.maybe_contains(IndexKey::new(0, scattered(n + k)))).count();
    println!("id ruled out: {:.0} ns, {wrong} of 1,000,000 not", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
