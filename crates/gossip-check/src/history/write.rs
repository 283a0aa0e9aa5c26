//! Printing ops as EDN, one a line, the usual fields first.

use std::fmt;
use std::io;

use super::{Op, Value};

/// Writes ops one after the other and numbers them from 0.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    line: String,
    next: u64,
}

impl<W: io::Write> Writer<W> {
    /// `out` gets one small write for each op: buffer it, unless each op must be seen at once.
    pub fn new(out: W) -> Self {
        Self { out, line: String::with_capacity(256), next: 0 }
    }

    /// Writes the op with the next index, which is returned, whatever index it carries.
    pub fn append(&mut self, op: &Op) -> io::Result<u64> {
        let index = self.next;
        self.line(op, index)?;
        self.next += 1;
        Ok(index)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn line(&mut self, op: &Op, index: u64) -> io::Result<()> {
        self.line.clear();
        print(&mut self.line, op, index).map_err(io::Error::other)?;
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }
}

/// Writes ops with the indices that they carry.
pub fn write(out: impl io::Write, ops: &[Op]) -> io::Result<()> {
    let mut writer = Writer::new(io::BufWriter::new(out));
    for op in ops {
        writer.line(op, op.index)?;
    }
    writer.flush()
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self, self.index)
    }
}

fn print(out: &mut impl fmt::Write, op: &Op, index: u64) -> fmt::Result {
    write!(out, "{{:process {}, :type :{}, :f :{}, :value ", op.process, op.typ.name(), op.f)?;
    value(out, &op.value)?;
    write!(out, ", :time {}, :index {index}", op.time)?;
    if let Some(error) = &op.error {
        out.write_str(", :error ")?;
        value(out, error)?;
    }
    for (name, field) in &op.ext {
        write!(out, ", :{name} ")?;
        value(out, field)?;
    }
    out.write_char('}')
}

pub(super) fn value(out: &mut impl fmt::Write, v: &Value) -> fmt::Result {
    match v {
        Value::Nil => out.write_str("nil"),
        Value::Bool(b) => write!(out, "{b}"),
        Value::Int(i) => write!(out, "{i}"),
        Value::Float(x) => float(out, *x),
        Value::Char(c) => character(out, *c),
        Value::Str(s) => string(out, s),
        Value::Keyword(name) => write!(out, ":{name}"),
        Value::Symbol(name) => out.write_str(name),
        Value::Vec(items) => sequence(out, "[", items, "]"),
        Value::List(items) => sequence(out, "(", items, ")"),
        Value::Set(items) => sequence(out, "#{", items, "}"),
        Value::Map(map) => {
            out.write_char('{')?;
            for (i, (key, item)) in map.iter().enumerate() {
                out.write_str(if i == 0 { "" } else { ", " })?;
                value(out, key)?;
                out.write_char(' ')?;
                value(out, item)?;
            }
            out.write_char('}')
        }
        Value::Tagged(tag, inner) => {
            write!(out, "#{tag} ")?;
            value(out, inner)
        }
    }
}

fn sequence(out: &mut impl fmt::Write, open: &str, items: &[Value], close: &str) -> fmt::Result {
    out.write_str(open)?;
    for (i, item) in items.iter().enumerate() {
        out.write_str(if i == 0 { "" } else { " " })?;
        value(out, item)?;
    }
    out.write_str(close)
}

fn float(out: &mut impl fmt::Write, x: f64) -> fmt::Result {
    if x.is_nan() {
        out.write_str("##NaN")
    } else if x.is_infinite() {
        out.write_str(if x > 0.0 { "##Inf" } else { "##-Inf" })
    } else {
        // Debug, unlike Display, always has a point or an exponent, so that it reads back as a float.
        write!(out, "{x:?}")
    }
}

fn character(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\newline"),
        '\r' => out.write_str("\\return"),
        '\t' => out.write_str("\\tab"),
        ' ' => out.write_str("\\space"),
        c => write!(out, "\\{c}"),
    }
}

fn string(out: &mut impl fmt::Write, s: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in s.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            _ => continue,
        };
        out.write_str(&s[plain..at])?;
        out.write_str(escaped)?;
        plain = at + 1;
    }
    out.write_str(&s[plain..])?;
    out.write_char('"')
}
