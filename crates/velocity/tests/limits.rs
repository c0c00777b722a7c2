//! Templates that would not end, and texts that are no templates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use stagedoor_velocity::{Context, Limits, RenderError, Template, Value};

fn render(template: &str) -> Result<String, RenderError> {
    Template::parse(template).unwrap().render(&mut Context::new())
}

/// The template ends, and with this error. That it does so in time is what the limits are for; how long that is depends on
/// what else the machine does.
fn check(template: &str, expected: fn(&RenderError) -> bool) {
    // A tenth of the usual steps, which are many for a test without optimisation.
    let limits = Limits { steps: 500_000, ..Limits::default() };
    let error = Template::parse(template).unwrap().render(&mut Context::with_limits(limits)).unwrap_err();
    assert!(expected(&error), "{template}: {error}");
}

#[test]
fn what_grows_without_end_is_stopped() {
    let twice = "#foreach($i in [1..1000])#set($s = \"$s$s\")#end";
    check(&format!("#set($s = 'xxxx'){twice}"), |error| matches!(error, RenderError::OutputTooLong(_)));
    check("#set($s = 'xxxx')#foreach($i in [1..1000])#set($s = $s.replace('x', $s))#end", |error| {
        matches!(error, RenderError::OutputTooLong(_))
    });
    check("#set($l = [1, 2])#foreach($i in [1..1000])#set($n = $l.addAll($l))#end", |error| {
        matches!(error, RenderError::TooManyItems(_))
    });
    check("#set($l = [1])#foreach($i in [1..1000])#set($l = [$l, $l])#end$l", |error| {
        matches!(error, RenderError::OutputTooLong(_) | RenderError::TooDeep(_))
    });
    check("#set($l = [1..2000000])", |error| matches!(error, RenderError::TooManyItems(_)));
    check("#set($s = 'x')$s.repeat(2000000000)", |error| matches!(error, RenderError::OutputTooLong(_)));
    check("#set($s = 'x')$s.format('%2000000000d', 1)", |error| matches!(error, RenderError::Method { .. }));
}

#[test]
fn what_runs_without_end_is_stopped() {
    let nested = "#foreach($i in [1..1000])".repeat(10) + &"#end".repeat(10);
    check(&nested, |error| matches!(error, RenderError::TooManySteps(_)));
    check("#macro(m)#m()#end#m()", |error| matches!(error, RenderError::TooDeep(_)));
    check("#macro(m $a)#m(\"$a$a$a$a$a$a$a$a\")#end#m('')", |error| {
        matches!(error, RenderError::TooDeep(_) | RenderError::TooManySteps(_))
    });
    check("#define($d)$d#end$d", |error| matches!(error, RenderError::TooDeep(_)));
    check("#set($e = '#evaluate($e)')#evaluate($e)", |error| matches!(error, RenderError::TooDeep(_)));
    check("#set($l = [1])#set($n = $l.add([$l]))$l", |error| matches!(error, RenderError::TooDeep(_)));
}

#[test]
fn lists_may_nest_deep_and_contain_themselves() {
    assert_eq!(render("#foreach($i in [1..1000])#set($l = [$l])#end").unwrap(), "");
    assert_eq!(render("#set($l = [1])#set($n = $l.add($l))$l").unwrap(), "[1, (this Collection)]");
    assert_eq!(render("#set($m = {})#set($m.m = $m)$m").unwrap(), "{m=(this Map)}");
    assert_eq!(
        render("#set($l = [1])#set($m = {'l': [$l]})#set($n = $l.add($m))#if($l == $m.l)a#end").unwrap(),
        ""
    );
}

#[test]
fn a_loop_ends_after_a_thousand_items() {
    assert_eq!(render("#foreach($i in [1..5000])x#end").unwrap().len(), 1000);
}

#[test]
fn errors_name_their_place() {
    let place = |template| {
        let error = Template::parse(template).unwrap_err();
        (error.line, error.column, error.near)
    };
    assert_eq!(place("a\n  #if($x)\n"), (2, 3, "#if($x)\n".to_owned()));
    assert_eq!(place("é #set($x 1)"), (1, 11, "1)".to_owned()));
    assert_eq!(place("x #parse('a.vm')"), (1, 3, "#parse('a.vm')".to_owned()));
    assert_eq!(place("#include(\"a\")"), (1, 1, "#include(\"a\")".to_owned()));
    assert_eq!(place("${a"), (1, 4, String::new()));
    assert_eq!(place("\n#end"), (2, 1, "#end".to_owned()));
    assert!(Template::parse(&"x".repeat(300 * 1024)).is_ok());
    assert!(Template::parse(&"x".repeat(300 * 1024 + 1)).is_err());
}

#[test]
fn a_failing_method_names_its_place() {
    let error = render("#set($s = 'abc')\n $s.substring(9)").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the method substring of a String failed at line 2, column 2: begin 9, end 3, length 3"
    );
}

#[test]
fn large_templates_parse_in_time_and_nesting_is_refused() {
    let begun = Instant::now();
    for piece in
        ["$a ", "$", "#", "\\", "#set($a=1)", "#if(true)#end", "#a ", "$a.b(1)", "##\n", "\\#if ", "'", "#a("]
    {
        let _ = Template::parse(&piece.repeat(300 * 1024 / piece.len()));
    }
    for (open, close) in
        [("#if(true)", "#end"), ("#set($a=[", "])"), ("#set($a=(", "))"), ("$a.b(", ")"), ("$a[", "]")]
    {
        assert!(Template::parse(&(open.repeat(5000) + &close.repeat(5000))).is_err(), "{open}");
    }
    assert!(Template::parse(&format!("#set($a={}true)", "!".repeat(5000))).is_err());
    assert!(Template::parse(&format!("#set($a=1{})", "+1".repeat(5000))).is_err());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_parsed_template_can_be_shared() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Template::parse("$a").unwrap());
}

fn piece() -> impl Strategy<Value = String> {
    prop::sample::select(include_str!("oracle/pieces.txt").lines().collect::<Vec<_>>())
        .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn never_panics_on_pieces(pieces in prop::collection::vec(piece(), 0..40)) {
        never_panics(&pieces.concat());
    }

    #[test]
    fn never_panics_on_signs(template in r#"[$#!\\{}()\[\]"'.,: \na-e0-3*=<>&|+-]{0,60}"#) {
        never_panics(&template);
    }

    #[test]
    fn never_panics_on_any_text(template in ".{0,60}") {
        never_panics(&template);
    }

    #[test]
    fn text_without_signs_is_itself(template in r"[^$#\\]{0,200}") {
        prop_assert_eq!(render(&template).unwrap(), template);
    }

    #[test]
    fn methods_never_panic(
        name in prop::sample::select(vec![
            "substring", "split", "replaceAll", "format", "indexOf", "lastIndexOf", "charAt", "repeat", "get", "set", "add",
            "remove", "subList", "addAll", "put", "matches", "startsWith", "parseInt", "toHexString", "join", "max",
        ]),
        receiver in prop::sample::select(vec!["$s", "$l", "$m", "$n", "$d", "$w"]),
        arguments in prop::collection::vec(prop::sample::select(vec![
            "0", "1", "-1", "2147483647", "-2147483648", "1.5", "'x'", "'$1'", "'%s%d'", "'['", "''", "$l", "$m", "$s", "$w",
            "$none", "true",
        ]), 0..4),
    ) {
        let set = "#set($s='abc')#set($l=[1,2])#set($m={'a':1})#set($n=5)#set($d=2.5)#set($w='é😀x')";
        never_panics(&format!("{set}{receiver}.{name}({})", arguments.join(",")));
    }
}

fn never_panics(template: &str) {
    if let Ok(template) = Template::parse(template) {
        let mut context = Context::new();
        context.set("s", "str");
        context.set("list", Value::list(vec![1.into(), "a".into()]));
        let _ = template.render(&mut context);
    }
}
