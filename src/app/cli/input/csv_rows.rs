//! CSV: a header that names job fields, `labels.NAME` for labels; an empty cell is an absent field.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};

use super::row::{Body, Rows};
use crate::model::decode::FIELDS;

/// What a column holds.
enum Column {
    /// An identifier; spaces around one are a slip that would name another room.
    Id(&'static str),
    Text(&'static str),
    Whole(&'static str),
    Label(String),
}

pub(super) fn read(source: impl Read, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(source));
    let mut record = ByteRecord::new();
    let mut columns = None;
    while reader.read_byte_record(&mut record)? {
        let line = reader.get_mut().line_at(record.position().map_or(0, csv::Position::byte));
        match &columns {
            None => match header(&record, rows) {
                Ok(header) => columns = Some(header),
                Err(faults) => {
                    faults.into_iter().for_each(|fault| rows.refuse(line, fault));
                    return Ok(());
                }
            },
            Some(columns) => match body(columns, &record) {
                Ok(body) => rows.add(line, body),
                Err(fault) => rows.refuse(line, fault),
            },
        }
    }
    Ok(())
}

fn header(record: &ByteRecord, rows: &Rows<'_>) -> Result<Vec<Column>, Vec<String>> {
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    let mut faults = Vec::new();
    for cell in record {
        let name = String::from_utf8_lossy(cell).trim().to_owned();
        match column(&name) {
            Ok(column) => columns.push(column),
            Err(fault) => faults.push(fault),
        }
        if !seen.insert(name.clone()) {
            faults.push(format!("the column {name:?} stands twice"));
        }
    }
    let fill = rows.fill();
    for (name, filled) in [("provider", fill.provider.is_some()), ("app_id", fill.app_id.is_some()), ("room_id", false)]
    {
        if !filled && !seen.contains(name) {
            faults.push(format!("the header has no column {name}"));
        }
    }
    if faults.is_empty() { Ok(columns) } else { Err(faults) }
}

fn column(name: &str) -> Result<Column, String> {
    if let Some(label) = name.strip_prefix("labels.").filter(|label| !label.is_empty()) {
        return Ok(Column::Label(label.to_owned()));
    }
    match FIELDS.into_iter().find(|field| *field == name) {
        Some(field @ ("app_id" | "room_id" | "job_id" | "batch_id")) => Ok(Column::Id(field)),
        Some(field @ "batch_size") => Ok(Column::Whole(field)),
        Some("labels") => Err("labels stand in columns of their own, named labels.NAME".into()),
        Some(field) => Ok(Column::Text(field)),
        None => {
            let fields = FIELDS.join(", ").replace("labels", "labels.NAME");
            Err(format!("the column {name:?} is not a field of a job (fields: {fields})"))
        }
    }
}

fn body(columns: &[Column], record: &ByteRecord) -> Result<Body, String> {
    if record.len() != columns.len() {
        return Err(format!("the header has {} cells, this row {}", columns.len(), record.len()));
    }
    let mut body = Body::new();
    let mut labels = BTreeMap::new();
    for (column, cell) in columns.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let cell = std::str::from_utf8(cell).map_err(|_| format!("{}: is not UTF-8", column.name()))?;
        match column {
            Column::Id(name) if cell.trim() != cell => {
                return Err(format!("{name}: begins or ends with a space (if it is meant, write JSON lines)"));
            }
            Column::Id(name) | Column::Text(name) => body.put(name, &cell),
            Column::Whole(name) => match cell.parse::<u64>() {
                Ok(number) => body.put(name, &number),
                Err(_) => return Err(format!("{name}: must be a whole number of 0 or more, not {cell:.24?}")),
            },
            Column::Label(name) => drop(labels.insert(name, cell)),
        }
    }
    if !labels.is_empty() {
        body.put("labels", &labels);
    }
    Ok(body)
}

impl Column {
    fn name(&self) -> &str {
        match self {
            Column::Id(name) | Column::Text(name) | Column::Whole(name) => name,
            Column::Label(name) => name,
        }
    }
}

/// Knows the line of a byte: the CSV reader's own count is off after `\r\n` and blank lines.
struct Lines<R> {
    inner: R,
    read: u64,
    /// One past the last byte that was not of a line break.
    content_end: u64,
    /// Line breaks that no record was asked for yet: where, and where the content before them ended.
    breaks: VecDeque<(u64, u64)>,
    line: u64,
}

impl<R> Lines<R> {
    fn new(inner: R) -> Self {
        Self { inner, read: 0, content_end: 0, breaks: VecDeque::new(), line: 1 }
    }

    /// The line on which a record that was read from `start` on has its first character; asked in order.
    fn line_at(&mut self, start: u64) -> u64 {
        while self.breaks.front().is_some_and(|(at, content_end)| *at < start || *content_end <= start) {
            self.breaks.pop_front();
            self.line += 1;
        }
        self.line
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for (at, byte) in (self.read..).zip(&buffer[..count]) {
            match byte {
                b'\n' => self.breaks.push_back((at, self.content_end)),
                b'\r' => {}
                _ => self.content_end = at + 1,
            }
        }
        self.read += count as u64;
        Ok(count)
    }
}
