use super::*;

fn one(text: &str) -> Op {
    let mut ops = read_str(text).unwrap();
    assert_eq!(ops.len(), 1);
    ops.remove(0)
}

fn error(text: &str) -> HistoryError {
    read_str(text).unwrap_err()
}

const INVOKE: &str =
    "{:process 0, :type :invoke, :f :acquire, :value {:shard \"s\", :worker \"a\"}, :time 17, :index 4}";

#[test]
fn reads_the_fields_of_an_op() {
    let op = one(INVOKE);
    assert_eq!((op.index, op.time, op.process, op.typ), (4, 17, Process::Client(0), OpType::Invoke));
    assert_eq!(op.f, "acquire");
    assert_eq!(op.value.get("shard").and_then(Value::as_str), Some("s"));
    assert_eq!(op.error, None);
}

#[test]
fn a_number_that_cannot_be_read_is_an_error() {
    let op = |value: &str| format!("; before\n{{:process 0 :type :ok :f :acquire :time 0 :value {value}}}");
    for (value, field) in [
        ("{:fence 1.0}", "fence"),
        ("{:fence 9223372036854775808}", "fence"),
        ("{:granted \"7\"}", "granted"),
        ("{:deadline :never}", "deadline"),
        ("{:shards [{:fence 1} {:fence 1.5}]}", "fence"),
    ] {
        let error = error(&op(value));
        assert_eq!((error.line, error.field.as_deref()), (2, Some(field)), "{value}");
    }
    for value in ["{:fence nil}", "{:fence 9223372036854775807N}", "{:x {:fence 1.5}}", "[:fence 1.5]"] {
        assert_eq!(read_str(&op(value)).unwrap().len(), 1, "{value}");
    }
    assert_eq!(one("{:process :nemesis :type :info :f :skew :time 0 :value {:left 1.5}}").f, "skew");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(one(&format!("\u{feff}{INVOKE}")).f, "acquire");
    assert_eq!(error(&format!("\n\u{feff}{INVOKE}")).line, 2);
}

#[test]
fn a_reader_tells_the_line_of_each_op() {
    let text = format!("; a comment\n\n{INVOKE}\n");
    let mut reader = read(text.as_bytes());
    assert_eq!(reader.op_line(), 0);
    reader.next().unwrap().unwrap();
    assert_eq!(reader.op_line(), 3);
}

/// With every key held against every other one this would not come to an end.
#[test]
fn a_map_of_very_many_keys_is_read_and_a_key_that_comes_twice_is_found() {
    let keys = |count: usize| (0..count).map(|i| format!(":k{i} {i} ")).collect::<String>();
    let op = |keys: &str| format!("{{:process 0 :type :invoke :f :x :time 0 :value {{{keys}}}}}");
    assert_eq!(one(&op(&keys(300_000))).value.as_map().map(Map::len), Some(300_000));
    for count in [3, 16, 17, 18, 40] {
        let error = error(&op(&(keys(count) + ":k1 0"))).to_string();
        assert!(error.contains("has a map with the key :k1 twice"), "{count}: {error}");
        assert_eq!(one(&op(&(keys(count) + "\"k1\" 0"))).value.as_map().map(Map::len), Some(count + 1));
    }
}

#[test]
fn digests_tell_values_apart() {
    let values = [
        "nil", "0", "0.5", "false", "\\0", "\"0\"", ":0", "[]", "{}", "#{}", "[0]", "[0 0]", "#{0}", "{0 0}", "{0 1}",
        "#x 0",
    ];
    let digests: std::collections::HashSet<u64> =
        values.iter().map(|text| text.parse::<Value>().unwrap().digest()).collect();
    assert_eq!(digests.len(), values.len());
    assert_eq!(Value::Float(0.0).digest(), Value::Float(-0.0).digest());
}

#[test]
fn reads_jepsens_tag_the_nemesis_errors_and_unknown_fields() {
    let op = one("#jepsen.history.Op{:index 3, :time 1, :type :info, :process :nemesis, :f :kill, :value [\"n1\"], \
                  :error [:lease-held \"x\"], :clock {:n1 0.5}}");
    assert_eq!(op.process, Process::Nemesis);
    assert_eq!(op.reason().as_deref(), Some("lease-held"));
    assert_eq!(op.ext["clock"].get("n1"), Some(&Value::Float(0.5)));
    let shouted = one("{:process 1 :type :fail :f :x :time 0 :error [\"LEASE_HELD\" \"\"]}");
    assert_eq!(shouted.reason().as_deref(), Some("lease-held"));
}

#[test]
fn takes_an_op_over_several_lines_and_several_on_one() {
    let spread = INVOKE.replace(", ", ",\n  ; a } comment\n  ");
    assert_eq!(one(&spread), one(INVOKE));
    let two = format!("\n{} {}\n\n", INVOKE.replace(":index 4", ""), INVOKE);
    assert_eq!(read_str(&two).unwrap().iter().map(|o| o.index).collect::<Vec<_>>(), [0, 4]);
    let string = one("{:process 0 :type :ok :f :x :time 0 :value \"a\n}\\\"\n\"}");
    assert_eq!(string.value.as_str(), Some("a\n}\"\n"));
}

#[test]
fn what_clojure_prints_of_no_use_to_a_history_is_read_and_written_back() {
    let op = one(r##"{:process 0 :type :info :f :x :time 0 :value nil
        :thread #object[java.lang.Thread 0x1f36e637 "Thread[#1,main]"] :ratio 1/3 :big 99999999999999999999N
        :pattern #"a\"\d}" :octal "\0\101x" :char \o101 :pair "\ud83d\ude00!" :half "\ud83dx" :var #'user/x :odd \foo
        :error #error{:via [{:type java.io.IOException :at [a.b$c "invoke" 1]}]}}"##);
    let text = |key: &str| op.ext[key].to_string();
    assert_eq!(text("thread"), "#object [java.lang.Thread 0x1f36e637 \"Thread[#1,main]\"]");
    assert_eq!(
        [text("ratio"), text("big"), text("var"), text("odd")],
        ["1/3", "99999999999999999999N", "#'user/x", "\\foo"]
    );
    assert_eq!(op.ext["pattern"].as_str(), Some("a\\\"\\d}"));
    assert_eq!(op.ext["octal"].as_str(), Some("\0Ax"));
    assert_eq!(op.ext["char"], Value::Char('A'));
    assert_eq!(op.ext["pair"].as_str(), Some("😀!"));
    assert_eq!(op.ext["half"].as_str(), Some("\u{fffd}x"));
    assert_eq!(one(&op.to_string()), op);
}

#[test]
fn numbers_ops_without_index() {
    let line = INVOKE.replace(", :index 4", "\n");
    let ops = read_str(&line.repeat(3)).unwrap();
    assert_eq!(ops.iter().map(|o| o.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn an_error_names_line_and_field() {
    for (text, line, field, message) in [
        (
            "\n{:process 0 :type :maybe :f :x :time 0}",
            2,
            Some("type"),
            "must be :invoke, :ok, :fail or :info, is :maybe",
        ),
        ("{:process -1 :type :ok :f :x :time 0}", 1, Some("process"), "must be a number from 0 or :nemesis, is -1"),
        ("{:process 0 :type :ok :f \"x\" :time 0}", 1, Some("f"), "must be a keyword, is \"x\""),
        ("{:process 0 :type :ok :f :x :time 0.5}", 1, Some("time"), "must be an integer of nanoseconds, is 0.5"),
        ("{:process 0 :type :ok :f :x}", 1, Some("time"), "is missing"),
        ("{:process 0 :type :ok :f :x :time 0 :index -2}", 1, Some("index"), "must be a number from 0, is -2"),
        ("{:process 0 :type :ok :f :x :time 0 :value\n {:a }}", 2, Some("value"), "key that has no value"),
        (
            "{:process 0 :type :ok :f :x :time 99999999999999999999}",
            1,
            Some("time"),
            "must be an integer of nanoseconds",
        ),
        ("{:process 0 :type :ok :f :x :time 0 :time 1}", 1, Some("time"), "is given twice"),
        ("{:process 0 :type :ok :f :x :time 0 :value nil\n :value 1}", 2, Some("value"), "is given twice"),
        ("{:process 0 :type :ok :f :x :time 0\n :node 1 :node 2}", 2, Some("node"), "is given twice"),
        ("{:process 0 :type :ok :f :x :time 0 :value #\"a}", 1, Some("value"), "ends within a string"),
        ("{:process 0 :type :ok :f :x :time 0 :value {:a 1 :a 2}}", 1, Some("value"), "the key :a twice"),
        ("\n\n{:process 0\n :type", 3, Some("type"), "ends where a value must stand"),
        ("{:process 0 :type :ok", 1, None, "ends within a map"),
        ("[1 2]", 1, None, "is not a map"),
        ("{\"process\" 0}", 1, None, "key that is no keyword"),
    ] {
        let found = error(text);
        assert_eq!((found.line, found.field.as_deref()), (line, field), "{text}: {found}");
        assert!(found.to_string().contains(message), "{text}: {found}");
    }
}

#[test]
fn an_index_must_rise() {
    let twice = format!("{INVOKE}\n{INVOKE}\n");
    let mut reader = read(twice.as_bytes());
    assert!(reader.next().unwrap().is_ok());
    let found = reader.next().unwrap().unwrap_err();
    assert_eq!((found.line, found.field.as_deref()), (2, Some("index")));
    assert!(reader.next().is_none(), "nothing comes after an error");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{{:process 0 :type :ok :f :x :time 0 :value {}}}", "[".repeat(1_000_000));
    assert!(error(&deep).message.contains("nested deeper"));
}

#[test]
fn reads_every_kind_of_value() {
    let value = |text: &str| one(&format!("{{:process 0 :type :ok :f :x :time 0 :value {text}}}")).value;
    for (text, expected) in [
        ("nil", Value::Nil),
        ("-12", Value::Int(-12)),
        ("+7N", Value::Int(7)),
        ("1e3", Value::Float(1000.0)),
        ("2.50M", Value::Float(2.5)),
        ("\\newline", Value::Char('\n')),
        ("\\}", Value::Char('}')),
        ("\\é", Value::Char('é')),
        ("\"\\u00e9\"", Value::from("é")),
        ("a/b", Value::Symbol("a/b".into())),
        ("-", Value::Symbol("-".into())),
        ("-99999999999999999999", Value::Symbol("-99999999999999999999".into())),
        ("(1 [2])", Value::List(vec![Value::Int(1), Value::Vec(vec![Value::Int(2)])])),
        ("#{:b :a}", Value::Set(vec![Value::keyword("a"), Value::keyword("b")])),
        ("{:a 1, :b 2}", Value::map([("b", 2), ("a", 1)])),
        ("#:a{:b 1 :_/c 2}", Value::map([("a/b", 1), ("c", 2)])),
        ("[#_ {:not 1} 2]", Value::Vec(vec![Value::Int(2)])),
        ("#inst \"x\"", Value::Tagged("inst".into(), Box::new(Value::from("x")))),
        ("##-Inf", Value::Float(f64::NEG_INFINITY)),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn hex_keys_are_bytes() {
    assert_eq!(Value::from("00fF").as_hex_key(), Some(vec![0, 255]));
    assert_eq!(Value::from("").as_hex_key(), Some(vec![]));
    for bad in [Value::from("0"), Value::from("0g"), Value::Nil, Value::keyword("00")] {
        assert_eq!(bad.as_hex_key(), None);
    }
    assert_eq!(Value::hex_key(&[0, 0xa5]), Value::from("00a5"));
}

#[test]
fn what_is_written_is_one_line_and_reads_back() {
    let mut op = one(INVOKE).with_error("timeout", "line one\nline \"two\" \\ \t");
    op.ext.insert("node".into(), Value::Char('\n'));
    let mut out = Vec::new();
    write(&mut out, std::slice::from_ref(&op)).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert_eq!(one(&text), op);
    assert!(text.starts_with(
        "{:process 0, :type :invoke, :f :acquire, :value {:shard \"s\", :worker \"a\"}, :time 17, :index 4, :error"
    ));
}

#[test]
fn a_writer_numbers_its_ops() {
    let mut writer = Writer::new(Vec::new());
    for _ in 0..3 {
        writer.append(&one(INVOKE)).unwrap();
    }
    let text = String::from_utf8(writer.into_inner()).unwrap();
    assert_eq!(read_str(&text).unwrap().iter().map(|o| o.index).collect::<Vec<_>>(), [0, 1, 2]);
}

mod any {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("NaN equals nothing", |x| !x.is_nan()).prop_map(Value::Float),
            any::<char>()
                .prop_filter("prints as itself", |c| !c.is_control() && !c.is_whitespace())
                .prop_map(Value::Char),
            any::<String>().prop_map(Value::Str),
            "[a-z][a-z0-9/?!-]{0,8}".prop_map(Value::Keyword),
            "x[a-z0-9-]{0,8}".prop_map(Value::Symbol),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Vec),
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Set),
                prop::collection::btree_map("[a-z]{1,4}", inner.clone(), 0..5).prop_map(Value::map),
                inner.prop_map(|v| Value::Tagged("some/tag".into(), Box::new(v))),
            ]
        })
    }

    /// The same value in another order, and with lists for vectors.
    fn turned(value: &Value) -> Value {
        match value {
            Value::Vec(items) | Value::List(items) => Value::List(items.iter().map(turned).collect()),
            Value::Set(items) => Value::Set(items.iter().rev().map(turned).collect()),
            Value::Map(map) => {
                let mut pairs: Vec<_> = map.iter().map(|(k, v)| (k.clone(), turned(v))).collect();
                pairs.reverse();
                Value::Map(Map::from_pairs(pairs))
            }
            Value::Tagged(tag, inner) => Value::Tagged(tag.clone(), Box::new(turned(inner))),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn equal_values_share_a_digest(value in values()) {
            let other = turned(&value);
            prop_assert_eq!(&value, &other);
            prop_assert_eq!(value.digest(), other.digest());
        }

        #[test]
        fn values_survive_being_written_and_read(value in values()) {
            let op = Op::new(Process::Client(1), OpType::Ok, "x", value, 5);
            prop_assert_eq!(one(&op.to_string()), op);
        }

        #[test]
        fn no_text_is_a_panic(text in "[ -~\\n]{0,80}") {
            let _ = read_str(&text);
            let _ = read_str(&format!("{{:process 0 :type :ok :f :x :time 0 :value {text}}}"));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for op in read(&bytes[..]) {
                let _ = op;
            }
        }
    }
}

#[test]
fn a_status_that_is_none_is_an_error_with_line_and_field() {
    let op = |value: &str| format!("\n{{:process 0 :type :ok :f :read-run :value {value} :time 1}}");
    for (value, told) in [("{:status 5}", "5"), ("{:status :open :shards [{:status true}]}", "true")] {
        let error = error(&op(value)).to_string();
        assert_eq!(error, format!("line 2: :status must be a keyword or a string, is {told}"));
    }
    for value in ["{:status nil}", "{:status \"Open\"}", "{:status :whatever}"] {
        assert_eq!(read_str(&op(value)).unwrap().len(), 1, "{value}");
    }
}
