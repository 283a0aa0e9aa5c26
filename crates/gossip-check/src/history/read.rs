//! Reading a history as a stream: one op after the other, in memory that does not grow with the file.

use std::io::BufRead;

use super::edn::{Parser, SyntaxError};
use super::{HistoryError, Op, OpType, Process, Value};

/// The tag that Jepsen writes before its ops.
const OP_TAG: &[u8] = b"#jepsen.history.Op";

/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Numbers that the judges compare: of a call, and of the records in a read of a run. One that cannot be read would be taken for
/// one that was not told, and whatever is wrong with it would pass.
const NUMBERS: [&str; 7] = ["fence", "granted", "deadline", "believed-until", "entered", "left", "applied"];

/// An op over more bytes than this is taken for a file that is no history.
const MAX_OP_BYTES: usize = 64 << 20;

/// The ops of a history, read one by one. After an error there are no more.
pub fn read<R: BufRead>(input: R) -> Reader<R> {
    Reader { input, buffer: Vec::new(), at: 0, line: 1, failed: false, next_index: 0, op_line: 0 }
}

/// All ops of a text.
pub fn read_str(text: &str) -> Result<Vec<Op>, HistoryError> {
    read(text.as_bytes()).collect()
}

/// The iterator of [`read`].
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// The lines read last; used up as far as `at`.
    buffer: Vec<u8>,
    at: usize,
    /// The line of the file on which the buffer begins.
    line: u64,
    failed: bool,
    next_index: u64,
    op_line: u64,
}

impl<R> Reader<R> {
    /// The line on which the op begins that was read last; 0 if there was none.
    pub fn op_line(&self) -> u64 {
        self.op_line
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Op, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.next_op().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl<R: BufRead> Reader<R> {
    fn next_op(&mut self) -> Result<Option<Op>, HistoryError> {
        loop {
            if self.at == self.buffer.len() && !self.read_line()? {
                return Ok(None);
            }
            match parse_op(&self.buffer, self.at) {
                Ok((None, end)) => self.at = end,
                Ok((Some((draft, start)), end)) => {
                    self.at = end;
                    return self.finish(draft, self.line_of(start)).map(Some);
                }
                Err(error) if error.syntax.incomplete && self.read_to_balance()? => {}
                Err(error) => {
                    let place = if error.syntax.incomplete { error.start } else { error.syntax.at };
                    return Err(fault(self.line_of(place), error.field, error.syntax.message));
                }
            }
        }
    }

    /// Appends a line to the buffer and forgets what has been used up. False at the end of the input.
    fn read_line(&mut self) -> Result<bool, HistoryError> {
        self.line += count_lines(&self.buffer[..self.at]);
        self.buffer.drain(..self.at);
        self.at = 0;
        let line = self.line_of(self.buffer.len());
        if self.buffer.len() > MAX_OP_BYTES {
            return Err(fault(self.line, None, format!("begins an op of more than {MAX_OP_BYTES} bytes")));
        }
        match self.input.read_until(b'\n', &mut self.buffer) {
            Ok(read) => {
                if line == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.buffer.drain(..BYTE_ORDER_MARK.len());
                }
                Ok(read > 0)
            }
            Err(source) => {
                let message = format!("cannot be read: {source}");
                Err(HistoryError { line, index: None, field: None, message, source: Some(source) })
            }
        }
    }

    /// Reads on until the brackets of the op that has begun match, so that a long op is not parsed after each of its lines.
    /// False if there was nothing more to read.
    fn read_to_balance(&mut self) -> Result<bool, HistoryError> {
        let mut balance = Balance::default();
        balance.scan(&self.buffer[self.at..]);
        let mut grew = false;
        loop {
            let before = self.buffer.len() - self.at;
            if !self.read_line()? {
                return Ok(grew);
            }
            grew = true;
            balance.scan(&self.buffer[before..]);
            if balance.is_closed() {
                return Ok(true);
            }
        }
    }

    fn line_of(&self, place: usize) -> u64 {
        self.line + count_lines(&self.buffer[..place.min(self.buffer.len())])
    }

    fn finish(&mut self, draft: Draft, line: u64) -> Result<Op, HistoryError> {
        let missing = |field: &str| fault(line, Some(field.to_owned()), "is missing".to_owned());
        let index = draft.index.unwrap_or(self.next_index);
        if index < self.next_index {
            let message = format!("must rise from op to op, is {index} after {}", self.next_index - 1);
            return Err(fault(line, Some("index".to_owned()), message));
        }
        self.next_index = index + 1;
        if let Some((field, value)) = unreadable_number(&draft) {
            return Err(fault(line, Some(field.to_owned()), format!("must be an integer of 64 bits, is {value}")));
        }
        if let Some(value) = unreadable_status(&draft) {
            return Err(fault(line, Some("status".to_owned()), format!("must be a keyword or a string, is {value}")));
        }
        self.op_line = line;
        Ok(Op {
            index,
            time: draft.time.ok_or_else(|| missing("time"))?,
            process: draft.process.ok_or_else(|| missing("process"))?,
            typ: draft.typ.ok_or_else(|| missing("type"))?,
            f: draft.f.ok_or_else(|| missing("f"))?,
            value: draft.value,
            error: draft.error,
            ext: draft.ext,
        })
    }
}

/// What a client's op tells: its value, and the records in it.
fn told(draft: &Draft) -> impl Iterator<Item = &Value> {
    let records = draft.value.get("shards").and_then(Value::items).unwrap_or_default();
    let all = [&draft.value].into_iter().chain(records);
    all.filter(|_| matches!(draft.process, Some(Process::Client(_))))
}

/// A status that is none. It would be taken for one that was not told, as a number would.
fn unreadable_status(draft: &Draft) -> Option<&Value> {
    told(draft).filter_map(|told| told.some("status")).find(|status| status.name().is_none())
}

/// A number of a client's op that is none, with its field.
fn unreadable_number(draft: &Draft) -> Option<(&'static str, &Value)> {
    told(draft).find_map(|told| {
        let number =
            |name: &'static str| told.some(name).filter(|value| value.as_i64().is_none()).map(|value| (name, value));
        NUMBERS.into_iter().find_map(number)
    })
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|&&b| b == b'\n').count() as u64
}

fn fault(line: u64, field: Option<String>, message: String) -> HistoryError {
    HistoryError { line, index: None, field, message, source: None }
}

/// What the fields of an op said so far.
#[derive(Debug, Default)]
struct Draft {
    index: Option<u64>,
    time: Option<i64>,
    process: Option<Process>,
    typ: Option<OpType>,
    f: Option<String>,
    value: Value,
    error: Option<Value>,
    ext: std::collections::BTreeMap<String, Value>,
    /// Which of the usual fields were given, by bit.
    given: u8,
}

impl Draft {
    /// Whether a field is given for the first time, which is noted.
    fn is_first(&mut self, name: &str) -> bool {
        let usual = ["process", "type", "f", "value", "time", "index", "error"];
        let Some(place) = usual.iter().position(|usual| *usual == name) else { return !self.ext.contains_key(name) };
        let first = self.given & (1 << place) == 0;
        self.given |= 1 << place;
        first
    }
}

#[derive(Debug)]
struct FieldError {
    field: Option<String>,
    /// Where the op begins.
    start: usize,
    syntax: SyntaxError,
}

impl From<SyntaxError> for FieldError {
    fn from(syntax: SyntaxError) -> Self {
        Self { field: None, start: syntax.at, syntax }
    }
}

/// The op that stands from a place on, with where it begins, and the place after it. None if only blanks are left.
fn parse_op(text: &[u8], at: usize) -> Result<(Option<(Draft, usize)>, usize), FieldError> {
    let mut parser = Parser::new(text, at);
    if parser.skip_blank()?.is_none() {
        return Ok((None, parser.at()));
    }
    let start = parser.at();
    parser.take(OP_TAG);
    let mut draft = Draft::default();
    let fields = parser.each_field(|parser, name| {
        field(&mut draft, parser, name).map_err(|syntax| FieldError { field: Some(name.to_owned()), start, syntax })
    });
    fields.map_err(|error: FieldError| FieldError { start, ..error })?;
    Ok((Some((draft, start)), parser.at()))
}

fn field(draft: &mut Draft, parser: &mut Parser<'_>, name: &str) -> Result<(), SyntaxError> {
    if !draft.is_first(name) {
        return Err(parser.bad("is given twice".to_owned()));
    }
    let value = parser.value()?;
    let wrong = |what: &str, value: &Value| parser.bad(format!("must be {what}, is {value}"));
    match (name, value) {
        ("index", Value::Nil) => {}
        ("index", value) => {
            let index = value.as_i64().and_then(|i| u64::try_from(i).ok());
            draft.index = Some(index.ok_or_else(|| wrong("a number from 0", &value))?);
        }
        ("time", Value::Int(time)) => draft.time = Some(time),
        ("time", value) => return Err(wrong("an integer of nanoseconds", &value)),
        ("process", Value::Int(id)) if id >= 0 => draft.process = Some(Process::Client(id)),
        ("process", Value::Keyword(name)) if name == "nemesis" => draft.process = Some(Process::Nemesis),
        ("process", value) => return Err(wrong("a number from 0 or :nemesis", &value)),
        ("type", value) => {
            draft.typ = match &value {
                Value::Keyword(name) => {
                    [OpType::Invoke, OpType::Ok, OpType::Fail, OpType::Info].into_iter().find(|t| t.name() == name)
                }
                _ => None,
            };
            if draft.typ.is_none() {
                return Err(wrong(":invoke, :ok, :fail or :info", &value));
            }
        }
        ("f", Value::Keyword(name)) => draft.f = Some(name),
        ("f", value) => return Err(wrong("a keyword", &value)),
        ("value", value) => draft.value = value,
        ("error", Value::Nil) => {}
        ("error", value) => draft.error = Some(value),
        (name, value) => {
            draft.ext.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// Counts open brackets, so that an op over many lines is parsed once and not after each line.
#[derive(Debug, Default)]
struct Balance {
    depth: i64,
    in_string: bool,
    in_comment: bool,
    escaped: bool,
}

impl Balance {
    fn is_closed(&self) -> bool {
        self.depth <= 0 && !self.in_string
    }

    fn scan(&mut self, text: &[u8]) {
        for &byte in text {
            if self.in_comment {
                self.in_comment = byte != b'\n';
            } else if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = !self.in_string;
            } else if !self.in_string {
                match byte {
                    b'{' | b'[' | b'(' => self.depth += 1,
                    b'}' | b']' | b')' => self.depth -= 1,
                    b';' => self.in_comment = true,
                    _ => {}
                }
            }
        }
    }
}
