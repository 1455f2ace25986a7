//! XML-RPC documents, small and large: what the codec costs, beside `dxr` on the same bytes.
#![expect(clippy::expect_used, reason = "a bench that cannot run should say where")]

use std::hint::black_box;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use dxr::{MethodCall, MethodResponse};
use vocable_xmlrpc::{Call, Limits, Response, Value, parse_call, parse_response, write_call, write_response};

fn small_call(criterion: &mut Criterion) {
    let call =
        Call { method: "cmd.wait".to_owned(), params: vec![Value::from("k7mq2x"), Value::Double(20.0)] };
    let document = write_call(&call).expect("writable");
    let text = str::from_utf8(&document).expect("UTF-8");
    let peer = MethodCall::from_xml(text).expect("readable");
    let limits = Limits::default();

    let mut group = criterion.benchmark_group("xmlrpc/small call");
    group.throughput(Throughput::Bytes(document.len() as u64));
    group.bench_function("parse", |bench| bench.iter(|| parse_call(black_box(&document), &limits)));
    group.bench_function("parse, dxr", |bench| bench.iter(|| MethodCall::from_xml(black_box(text))));
    group.bench_function("write", |bench| bench.iter(|| write_call(black_box(&call))));
    group.bench_function("write, dxr", |bench| bench.iter(|| black_box(&peer).to_xml()));
    group.finish();
}

/// A listing of many structs, and one of base64: the two ways in which replies are long.
fn large_responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("xmlrpc/1 MB of structs");
    large_response(&mut group, Ok((0..2500).map(guest).collect()));
    group.finish();
    let mut group = criterion.benchmark_group("xmlrpc/1 MB of base64");
    large_response(&mut group, Ok(Value::Base64((0..=255).cycle().take(750_000).collect())));
    group.finish();
}

fn large_response(group: &mut BenchmarkGroup<'_, WallTime>, response: Response) {
    let document = write_response(&response).expect("writable");
    let text = str::from_utf8(&document).expect("UTF-8");
    let peer = MethodResponse::from_xml(text).expect("readable");
    let limits = Limits::default();

    group.sample_size(20).throughput(Throughput::Bytes(document.len() as u64));
    group.bench_function("parse", |bench| bench.iter(|| parse_response(black_box(&document), &limits)));
    group.bench_function("parse, dxr", |bench| bench.iter(|| MethodResponse::from_xml(black_box(text))));
    group.bench_function("write", |bench| bench.iter(|| write_response(black_box(&response))));
    group.bench_function("write, dxr", |bench| bench.iter(|| black_box(&peer).to_xml()));
}

fn guest(number: i32) -> Value {
    Value::from([
        ("guest", Value::from(format!("vm{number}"))),
        ("state", Value::from("alive")),
        ("last_beacon_s", Value::Double(f64::from(number) / 7.0)),
        ("commands", Value::Int(number)),
        ("words", Value::from(vec![Value::from("RUN_CMD"), Value::from("DF")])),
    ])
}

criterion_group!(benches, small_call, large_responses);
criterion_main!(benches);
