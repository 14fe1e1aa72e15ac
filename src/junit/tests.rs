use proptest::prelude::*;

use super::*;

/// In the styles of the programs that users have. pytest with `-o junit_family=xunit1`.
const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.071" timestamp="2026-01-02T03:04:05.678901+00:00" hostname="box">
<testcase classname="tests.test_sum" name="test_small" file="tests/test_sum.py" line="3" time="0.001" />
<testcase classname="tests.test_sum" name="test_large[1e9-&lt;]" file="tests/test_sum.py" line="7" time="0.002"><failure message="assert 3 == 4&#10; +  where 3 = total()">def test_large():
&gt;       assert total() == 4
E       assert 3 == 4

tests/test_sum.py:12: AssertionError</failure></testcase>
<testcase classname="tests.test_sum" name="test_later" time="0.000"><skipped type="pytest.skip" message="not yet">/w/tests/test_sum.py:20: not yet</skipped></testcase>
<testcase classname="" name="tests.test_broken" time="0.000"><error message="collection failure">ImportError: no module</error></testcase>
</testsuite></testsuites>"#;

const VITEST: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<testsuites name="vitest tests" tests="2" failures="1" errors="0" time="0.31">
    <testsuite name="src/add.test.ts" timestamp="2026-01-02T03:04:05.678Z" hostname="box" tests="2" failures="1" errors="0" skipped="0" time="0.004">
        <testcase classname="src/add.test.ts" name="add &gt; adds" time="0.001"></testcase>
        <testcase classname="src/add.test.ts" name="add &gt; carries" time="0.003">
            <failure message="expected 1 to be 2 // Object.is equality" type="AssertionError">
AssertionError: expected 1 to be 2 // Object.is equality
 ❯ src/add.test.ts:9:21
            </failure>
        </testcase>
    </testsuite>
</testsuites>"#;

const SUREFIRE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0.2" name="com.acme.CalcTest" time="1,234.5" tests="3" errors="1" skipped="0" failures="0" flakes="1">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="adds" classname="com.acme.CalcTest" time="0.01"/>
  <testcase name="divides" classname="com.acme.CalcTest" time="0.002">
    <error message="/ by zero" type="java.lang.ArithmeticException"><![CDATA[java.lang.ArithmeticException: / by zero
	at com.acme.Calc.divide(Calc.java:9)
	at com.acme.CalcTest.divides(CalcTest.java:31)
]]></error>
    <rerunFailure message="again" type="java.lang.AssertionError">
      <stackTrace><![CDATA[java.lang.AssertionError: again]]></stackTrace>
      <system-out>noise</system-out>
    </rerunFailure>
  </testcase>
  <testcase name="waits" classname="com.acme.CalcTest" time="0.002">
    <flakyFailure message="too early" type="java.lang.AssertionError">
      <stackTrace><![CDATA[too early]]></stackTrace>
    </flakyFailure>
    <system-out><![CDATA[second try]]></system-out>
  </testcase>
</testsuite>"#;

const CTEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="(empty)"
	tests="3"
	failures="1"
	disabled="1"
	skipped="0"
	hostname=""
	time="0"
	timestamp="2026-01-02T03:04:05"
	>
	<testcase name="works" classname="works" time="0.00217" status="run">
		<system-out>fine
</system-out>
	</testcase>
	<testcase name="breaks" classname="breaks" time="0.004" status="fail">
		<failure message="Failed"/>
		<system-out>calc.c:14: 3 != 4
</system-out>
	</testcase>
	<testcase name="off" classname="off" time="0" status="disabled">
		<skipped message="Disabled"/>
	</testcase>
</testsuite>"#;

const GOTESTSUM: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="0.002">
	<testsuite tests="2" failures="1" time="0.001000" name="acme.com/calc" timestamp="2026-01-02T03:04:05Z">
		<properties>
			<property name="go.version" value="go1.26 linux/amd64"></property>
		</properties>
		<testcase classname="acme.com/calc" name="TestAdd" time="0.000000"></testcase>
		<testcase classname="acme.com/calc" name="TestCarry/far" time="0.000000">
			<failure message="Failed" type="">=== RUN   TestCarry/far&#xA;    calc_test.go:21: got 3, want 4&#xA;--- FAIL: TestCarry/far (0.00s)&#xA;</failure>
		</testcase>
	</testsuite>
</testsuites>"#;

const GRADLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="com.acme.FlowTest" tests="2" skipped="1" failures="1" errors="0" timestamp="2026-01-02T03:04:05.678Z" hostname="box" time="0.02">
  <properties/>
  <testcase name="flows()" classname="com.acme.FlowTest" time="0.015">
    <failure message="org.opentest4j.AssertionFailedError: expected: &lt;1&gt; but was: &lt;2&gt;" type="org.opentest4j.AssertionFailedError">org.opentest4j.AssertionFailedError: expected: &lt;1&gt; but was: &lt;2&gt;
	at org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)
	at com.acme.FlowTest.flows(FlowTest.java:18)
</failure>
  </testcase>
  <testcase name="ebbs()" classname="com.acme.FlowTest" time="0.0"><skipped/></testcase>
  <system-out><![CDATA[started <here>]]></system-out>
  <system-err><![CDATA[]]></system-err>
</testsuite>"#;

fn parsed(text: &str) -> Report {
    let suites = read(text.as_bytes(), &mut Budget::default()).unwrap();
    Report { suites }
}

/// Suites, tests, failures, errors, skipped, flaky and microseconds.
fn counted(text: &str) -> [u64; 7] {
    let Counts {
        suites,
        tests,
        failures,
        errors,
        skipped,
        flaky,
        time,
    } = parsed(text).counts();
    [suites, tests, failures, errors, skipped, flaky, time]
}

fn places(text: &str) -> Vec<(String, Option<String>)> {
    let report = parsed(text);
    let failed = report.failed();
    failed
        .map(|(_, case)| (case.name.clone(), place(case)))
        .collect()
}

fn at(name: &str, place: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(place.to_owned()))
}

#[test]
fn the_reports_of_six_programs_are_counted() {
    assert_eq!(counted(PYTEST), [1, 4, 1, 1, 1, 0, 71_000]);
    assert_eq!(counted(VITEST), [1, 2, 1, 0, 0, 0, 4_000]);
    assert_eq!(counted(SUREFIRE), [1, 3, 0, 1, 0, 1, 1_234_500_000]);
    assert_eq!(counted(CTEST), [1, 3, 1, 0, 1, 0, 6_170]);
    assert_eq!(counted(GOTESTSUM), [1, 2, 1, 0, 0, 0, 1_000]);
    assert_eq!(counted(GRADLE), [1, 2, 1, 0, 1, 0, 20_000]);
}

#[test]
fn a_failed_case_has_the_place_that_its_report_states() {
    assert_eq!(
        places(PYTEST),
        [
            at("test_large[1e9-<]", "tests/test_sum.py:12"),
            ("tests.test_broken".to_owned(), None),
        ]
    );
    assert_eq!(places(VITEST), [at("add > carries", "src/add.test.ts:9")]);
    assert_eq!(places(SUREFIRE), [at("divides", "CalcTest.java:31")]);
    assert_eq!(places(GOTESTSUM), [at("TestCarry/far", "calc_test.go:21")]);
    assert_eq!(places(GRADLE), [at("flows()", "FlowTest.java:18")]);
    assert_eq!(places(CTEST), [("breaks".to_owned(), None)]);
}

#[test]
fn texts_are_read_with_their_references_and_sections() {
    let report = parsed(GRADLE);
    assert_eq!(report.suites[0].out, "started <here>");
    let (_, case) = report.failed().next().unwrap();
    let reason = case.reason().unwrap();
    assert!(reason.message.ends_with("expected: <1> but was: <2>"));
    assert!(reason.text.contains("expected: <1> but was: <2>\n\tat org"));
    let report = parsed(SUREFIRE);
    assert_eq!(
        report.suites[0].cases[1].verdicts[1].text,
        "java.lang.AssertionError: again"
    );
    assert_eq!(report.suites[0].properties[0].1, "21");
}

#[test]
fn suites_in_suites_are_read_and_mere_holders_left_out() {
    let nested = "<testsuites><testsuite name='all'><testsuite name='a'><testcase name='x'/></testsuite>\
                  <testsuite name='b'><testcase name='y'/></testsuite></testsuite></testsuites>";
    let report = parsed(nested);
    let names: Vec<&str> = report
        .suites
        .iter()
        .map(|suite| suite.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn what_is_no_report_is_refused_with_its_line() {
    let wrong = |text: &str| read(text.as_bytes(), &mut Budget::default()).unwrap_err();
    assert_eq!(wrong("").to_string(), "line 1: the report is empty");
    assert_eq!(
        wrong("<?xml version='1.0'?>\n<project/>").to_string(),
        "line 2: found `<project>`, expected `<testsuites>` or `<testsuite>`"
    );
    assert_eq!(wrong("<testsuite>\n\n<testcase").line, 3);
    assert_eq!(wrong("<testsuite>\n<testcase>\n").line, 3);
    assert_eq!(wrong("<testsuite>\n</testcase>").line, 2);
    assert_eq!(
        wrong("<testsuite>\n<testcase name='&x;'/></testsuite>").line,
        2
    );
    assert_eq!(wrong("<testsuite/><testsuite/>").line, 1);
    assert!(wrong("not XML at all").why.contains("the report is empty"));
    let deep = "<testsuite>".repeat(51);
    assert!(wrong(&deep).why.contains("in one another"));
}

#[test]
fn no_entity_is_defined_by_a_report() {
    let bomb = "<!DOCTYPE t [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>\n\
                <testsuite><testcase><failure>&b;</failure></testcase></testsuite>";
    let refused = read(bomb.as_bytes(), &mut Budget::default()).unwrap_err();
    assert!(refused.why.contains("document type"), "{refused}");
}

#[test]
fn many_cases_and_long_texts_are_bounded() {
    let cases = "<testcase name='x'/>".repeat(200_000);
    let many = format!("<testsuite>{cases}</testsuite>");
    let refused = read(many.as_bytes(), &mut Budget::default()).unwrap_err();
    assert!(refused.why.contains("more tests"), "{refused}");
    let long = "é".repeat(100_000);
    let report = parsed(&format!(
        "<testsuite name='{long}'><testcase><failure message='{long}'>{long}</failure></testcase></testsuite>"
    ));
    assert_eq!(report.suites[0].name.len(), 4 << 10);
    let reason = report.suites[0].cases[0].reason().unwrap();
    assert_eq!(
        (reason.message.len(), reason.text.len()),
        (64 << 10, 64 << 10)
    );
}

#[test]
fn a_case_that_failed_before_is_flaky_or_rerun() {
    let failing = "<testsuite name='s'><testcase name='a'><failure message='no'/></testcase>\
                   <testcase name='b'><error message='oh'/></testcase></testsuite>";
    let later = "<testsuite name='s'><testcase name='a'/>\
                 <testcase name='b'><failure message='last'/></testcase></testsuite>";
    let mut report = parsed(later);
    report.follow(&[parsed(failing).carried()]);
    let kinds = |at: usize| -> Vec<VerdictKind> {
        let verdicts = report.suites[0].cases[at].verdicts.iter();
        verdicts.map(|verdict| verdict.kind).collect()
    };
    assert_eq!(kinds(0), [VerdictKind::FlakyFailure]);
    assert_eq!(kinds(1), [VerdictKind::Failure, VerdictKind::RerunError]);
    assert_eq!(report.counts().flaky, 1);
}

#[test]
fn whatever_a_name_holds_the_document_is_xml() {
    let case = Case {
        name: "a\u{1b}[31m\u{0}\"<&'>\n\t\r\u{fffe}".to_owned(),
        ..Case::default()
    };
    let suite = Suite {
        cases: vec![case],
        ..Suite::default()
    };
    let written = write(&Report {
        suites: vec![suite],
    });
    let read = parsed(&written);
    assert_eq!(
        read.suites[0].cases[0].name,
        "a\u{fffd}[31m\u{fffd}\"<&'>\n\t\r\u{fffd}"
    );
}

fn texts() -> impl Strategy<Value = String> {
    "[ -~\n\t\ré]{0,12}".prop_map(|text| match text.trim().is_empty() {
        true => String::new(),
        false => text,
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let verdict = (0..VerdictKind::NAMES.len(), texts(), texts(), texts());
    let verdict = verdict.prop_map(|(kind, message, exception, text)| Verdict {
        kind: VerdictKind::NAMES[kind].1,
        message,
        exception,
        text,
    });
    let verdicts = prop::collection::vec(verdict, 0..3);
    let properties = prop::collection::vec((texts(), texts()), 0..2);
    let words = (texts(), texts(), texts(), texts(), texts(), texts());
    (words, 0..10_000_000_u64, properties, verdicts).prop_map(
        |((name, class, file, line, out, err), time, properties, verdicts)| Case {
            name,
            class,
            file,
            line,
            time,
            properties,
            verdicts,
            out,
            err,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        cases in prop::collection::vec(cases(), 1..4),
        name in texts(), out in texts(), err in texts(),
    ) {
        let time = cases.iter().map(|case| case.time).sum();
        let suite = Suite { name, time, cases, out, err, ..Suite::default() };
        let report = Report { suites: vec![suite] };
        prop_assert_eq!(parsed(&write(&report)), report);
    }

    #[test]
    fn no_bytes_make_reading_panic(
        parts in prop::collection::vec(
            prop_oneof![
                Just("<testsuite ".to_owned()), Just("<testcase>".to_owned()), Just("</testcase>".to_owned()),
                Just("<failure>".to_owned()), Just("&#0;".to_owned()), Just("]]>".to_owned()),
                Just("name='".to_owned()), Just("/>".to_owned()), Just("<![CDATA[".to_owned()), ".{0,6}",
            ],
            0..30,
        ),
    ) {
        if let Ok([second, third]) = rewritten(parts.concat().as_bytes()) {
            prop_assert_eq!(second, third);
        }
    }
}
