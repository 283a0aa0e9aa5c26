//! A reader of EDN over a slice of bytes. Written by hand because a history has millions of ops, and because an error must
//! say in which field of an op it stands. What Clojure prints and a history has no use for (regular expressions, ratios, big
//! integers, vars) is kept as a string or a symbol: it stands in some field that nobody judges by.

use std::collections::HashSet;

use super::value::{Map, Value};

/// Stands for what is no character: half of a surrogate pair.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Deeper than any op, and shallow enough for the stack.
const MAX_DEPTH: usize = 64;

/// What is wrong with a text, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    pub at: usize,
    pub message: String,
    /// The text ended within a form; more text may complete it.
    pub incomplete: bool,
}

type Result<T> = std::result::Result<T, SyntaxError>;

#[derive(Debug)]
pub(super) struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// One form, with nothing but blanks and comments around it.
impl std::str::FromStr for Value {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self> {
        let mut parser = Parser::new(text.as_bytes(), 0);
        let value = parser.value()?;
        match parser.skip_blank()? {
            None => Ok(value),
            Some(_) => Err(parser.bad("goes on after the value".to_owned())),
        }
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at, depth: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Skips blanks, commas, comments and discarded forms. Returns the next byte, none at the end of the text.
    pub(super) fn skip_blank(&mut self) -> Result<Option<u8>> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(b' ' | b',' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => self.at += 1,
                Some(b';') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                Some(b'#') if self.text.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.nested(Self::value)?;
                }
                Some(byte) => return Ok(Some(byte)),
            }
        }
    }

    /// The next form.
    pub(super) fn value(&mut self) -> Result<Value> {
        let Some(byte) = self.skip_blank()? else {
            return Err(self.incomplete("ends where a value must stand"));
        };
        match byte {
            b':' => Ok(Value::Keyword(self.keyword()?.to_owned())),
            b'"' => self.string().map(Value::Str),
            b'0'..=b'9' => self.number(),
            b'+' | b'-' if self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) => self.number(),
            b'{' => self.map(None).map(Value::Map),
            b'[' => self.sequence(b']').map(Value::Vec),
            b'(' => self.sequence(b')').map(Value::List),
            b'\\' => self.character(),
            b'#' => self.dispatch(),
            b'}' | b']' | b')' => Err(self.bad(format!("has a {} that closes nothing", char::from(byte)))),
            _ => self.symbol(),
        }
    }

    /// Takes `open`, then calls `entry` for each keyword of the map with the parser before its value, up to the closing
    /// brace.
    pub(super) fn each_field<E: From<SyntaxError>>(
        &mut self,
        mut entry: impl FnMut(&mut Self, &'a str) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.skip_blank()? != Some(b'{') {
            return Err(self.bad("is not a map".to_owned()).into());
        }
        self.at += 1;
        loop {
            match self.skip_blank()? {
                None => return Err(self.incomplete("ends within a map").into()),
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b':') => {
                    let name = self.keyword()?;
                    entry(self, name)?;
                }
                Some(_) => return Err(self.bad("has a key that is no keyword".to_owned()).into()),
            }
        }
    }

    /// Takes this prefix if the text goes on with it.
    pub(super) fn take(&mut self, prefix: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    pub(super) fn bad(&self, message: String) -> SyntaxError {
        SyntaxError { at: self.at, message, incomplete: false }
    }

    fn incomplete(&self, message: &str) -> SyntaxError {
        SyntaxError { at: self.at, message: message.to_owned(), incomplete: true }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.bad(format!("is nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The bytes up to the next delimiter.
    fn token(&mut self) -> Result<&'a str> {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|&b| is_delimiter(b)).unwrap_or(rest.len());
        let token = std::str::from_utf8(&rest[..len]).map_err(|_| self.bad("is not UTF-8".to_owned()))?;
        self.at += len;
        Ok(token)
    }

    fn keyword(&mut self) -> Result<&'a str> {
        self.at += 1;
        let name = self.token()?;
        if name.is_empty() || name.starts_with(':') {
            return Err(self.bad("has a colon without a name".to_owned()));
        }
        Ok(name)
    }

    fn symbol(&mut self) -> Result<Value> {
        let start = self.at;
        match self.token()? {
            "nil" => Ok(Value::Nil),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "" => {
                self.at = start;
                Err(self.bad(format!("has an unexpected byte {:#04x}", self.text[start])))
            }
            name => Ok(Value::Symbol(name.to_owned())),
        }
    }

    /// A number, or a symbol where a history has none of the kind: integers beyond 64 bits, ratios, other bases, and what
    /// begins like a number in Clojure's `#object[...]`.
    fn number(&mut self) -> Result<Value> {
        let token = self.token()?;
        let digits = token.strip_prefix('+').unwrap_or(token);
        if let Ok(int) = digits.strip_suffix('N').unwrap_or(digits).parse::<i64>() {
            return Ok(Value::Int(int));
        }
        let is_float = digits.contains(['.', 'e', 'E', 'M']) && !digits.contains(['x', '_']);
        let float = digits.strip_suffix('M').unwrap_or(digits).parse::<f64>().ok().filter(|_| is_float);
        Ok(float.map_or_else(|| Value::Symbol(token.to_owned()), Value::Float))
    }

    fn string(&mut self) -> Result<String> {
        let start = self.at + 1;
        let mut plain = start;
        let mut out = Vec::new();
        loop {
            let Some(len) = self.text[plain..].iter().position(|&b| b == b'"' || b == b'\\') else {
                return Err(self.incomplete("ends within a string"));
            };
            let stop = plain + len;
            out.extend_from_slice(&self.text[plain..stop]);
            if self.text[stop] == b'"' {
                self.at = stop + 1;
                return String::from_utf8(out).map_err(|_| self.bad("has a string that is not UTF-8".to_owned()));
            }
            self.at = stop + 1;
            let c = self.escape()?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            plain = self.at;
        }
    }

    /// What follows a backslash in a string.
    fn escape(&mut self) -> Result<char> {
        let Some(byte) = self.peek() else {
            return Err(self.incomplete("ends within a string"));
        };
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' => char::from(byte),
            b'u' => self.utf16()?,
            b'0'..=b'7' => {
                self.at -= 1;
                let rest = &self.text[self.at..];
                let len = rest.iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                self.at += len;
                rest[..len].iter().fold(0, |code, b| code * 8 + u32::from(b - b'0')).try_into().unwrap_or(REPLACEMENT)
            }
            _ => return Err(self.bad("has an unknown escape in a string".to_owned())),
        })
    }

    /// What follows `\u`: a unit of UTF-16, or the first of a pair that makes one character. Half a pair is none.
    fn utf16(&mut self) -> Result<char> {
        let first = self.unit()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&first) && self.take(b"\\u") {
            if let Some(Ok(c)) = char::decode_utf16([first, self.unit()?]).next() {
                return Ok(c);
            }
            self.at = after;
        }
        Ok(char::from_u32(first.into()).unwrap_or(REPLACEMENT))
    }

    fn unit(&mut self) -> Result<u16> {
        let Some(digits) = self.text.get(self.at..self.at + 4) else {
            return Err(self.incomplete("ends within a string"));
        };
        let unit = hex_unit(digits).ok_or_else(|| self.bad("has a malformed \\u escape".to_owned()))?;
        self.at += 4;
        Ok(unit)
    }

    fn character(&mut self) -> Result<Value> {
        self.at += 1;
        let start = self.at;
        // The character itself may be a delimiter.
        self.at = self.text.len().min(self.at + 1);
        while self.peek().is_some_and(|b| !is_delimiter(b)) {
            self.at += 1;
        }
        let token = std::str::from_utf8(&self.text[start..self.at])
            .map_err(|_| self.bad("has a character that is not UTF-8".to_owned()))?;
        let mut chars = token.chars();
        let c = match (token, chars.next(), chars.next()) {
            ("newline", ..) => '\n',
            ("return", ..) => '\r',
            ("tab", ..) => '\t',
            ("space", ..) => ' ',
            ("backspace", ..) => '\u{8}',
            ("formfeed", ..) => '\u{c}',
            (_, Some(c), None) => c,
            (_, None, _) => return Err(self.incomplete("ends within a character")),
            (_, Some(kind), _) => match char_code(kind, &token[kind.len_utf8()..]) {
                Some(code) => char::from_u32(code).unwrap_or(REPLACEMENT),
                None => return Ok(Value::Symbol(format!("\\{token}"))),
            },
        };
        Ok(Value::Char(c))
    }

    /// What follows `#"`: a regular expression, in which a backslash stands for itself.
    fn regex(&mut self) -> Result<Value> {
        let start = self.at + 1;
        let mut end = start;
        while self.text.get(end).is_some_and(|&b| b != b'"') {
            end += if self.text[end] == b'\\' { 2 } else { 1 };
        }
        let Some(text) = self.text.get(start..end).filter(|_| end < self.text.len()) else {
            return Err(self.incomplete("ends within a string"));
        };
        self.at = end + 1;
        let text = std::str::from_utf8(text).map_err(|_| self.bad("has a string that is not UTF-8".to_owned()))?;
        Ok(Value::Str(text.to_owned()))
    }

    fn sequence(&mut self, close: u8) -> Result<Vec<Value>> {
        self.at += 1;
        self.nested(|p| {
            let mut items = Vec::new();
            loop {
                match p.skip_blank()? {
                    None => return Err(p.incomplete("ends within a sequence")),
                    Some(byte) if byte == close => {
                        p.at += 1;
                        return Ok(items);
                    }
                    Some(_) => items.push(p.value()?),
                }
            }
        })
    }

    fn map(&mut self, namespace: Option<&str>) -> Result<Map> {
        self.at += 1;
        self.nested(|p| {
            let mut pairs = Vec::with_capacity(4);
            let mut keys = Keys::default();
            loop {
                match p.skip_blank()? {
                    None => return Err(p.incomplete("ends within a map")),
                    Some(b'}') => {
                        p.at += 1;
                        return Ok(Map::from_pairs(pairs));
                    }
                    Some(_) => {}
                }
                let key = qualify(p.value()?, namespace);
                if p.skip_blank()? == Some(b'}') {
                    return Err(p.bad("has a map with a key that has no value".to_owned()));
                }
                if keys.is_there(&pairs, &key) {
                    return Err(p.bad(format!("has a map with the key {key} twice")));
                }
                pairs.push((key, p.value()?));
            }
        })
    }

    fn dispatch(&mut self) -> Result<Value> {
        self.at += 1;
        match self.peek() {
            None => Err(self.incomplete("ends after #")),
            Some(b'{') => self.sequence(b'}').map(Value::Set),
            Some(b'"') => self.regex(),
            // A var: `#'user/x`.
            Some(b'\'') => Ok(Value::Symbol(format!("#{}", self.token()?))),
            Some(b'#') => {
                self.at += 1;
                match self.token()? {
                    "Inf" => Ok(Value::Float(f64::INFINITY)),
                    "-Inf" => Ok(Value::Float(f64::NEG_INFINITY)),
                    "NaN" => Ok(Value::Float(f64::NAN)),
                    other => Ok(Value::Symbol(format!("##{other}"))),
                }
            }
            Some(b':') => {
                let namespace = self.keyword()?;
                match self.skip_blank()? {
                    Some(b'{') => self.map(Some(namespace)).map(Value::Map),
                    None => Err(self.incomplete("ends after the namespace of a map")),
                    Some(_) => Err(self.bad(format!("has #:{namespace} before something other than a map"))),
                }
            }
            Some(_) => {
                let tag = self.token()?;
                if tag.is_empty() {
                    return Err(self.bad("has a # without a tag".to_owned()));
                }
                let inner = self.nested(Self::value)?;
                Ok(Value::Tagged(tag.to_owned(), Box::new(inner)))
            }
        }
    }
}

/// The keys of a map that is being read. Few are compared one by one; many are looked up, or a map would take the square of its
/// length.
#[derive(Debug, Default)]
struct Keys {
    digests: HashSet<u64>,
    /// How many of the pairs are among them.
    known: usize,
}

impl Keys {
    const FEW: usize = 16;

    fn is_there(&mut self, pairs: &[(Value, Value)], key: &Value) -> bool {
        if pairs.len() > Self::FEW {
            self.digests.extend(pairs[self.known..].iter().map(|(known, _)| known.digest()));
            self.known = pairs.len();
            if !self.digests.contains(&key.digest()) {
                return false;
            }
        }
        pairs.iter().any(|(known, _)| known == key)
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b',' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'"' | b';'
    )
}

fn hex_unit(digits: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.len() == 4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// The code of `\u00e9` or `\o351`.
fn char_code(kind: char, digits: &str) -> Option<u32> {
    match kind {
        'u' => hex_unit(digits.as_bytes()).map(u32::from),
        'o' => u32::from_str_radix(digits, 8).ok().filter(|code| *code <= 0o377),
        _ => None,
    }
}

/// The key of a map that was written `#:namespace{...}`.
fn qualify(key: Value, namespace: Option<&str>) -> Value {
    match (key, namespace) {
        (Value::Keyword(name), Some(ns)) if !name.contains('/') => Value::Keyword(format!("{ns}/{name}")),
        (Value::Keyword(name), Some(_)) if name.starts_with("_/") => Value::Keyword(name[2..].to_owned()),
        (key, _) => key,
    }
}
