//! Figures of a call that do not depend on the machine.

use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic};
use catalyst_sandbox::{Compile, Cost, Measure};

use crate::fixtures::{asks, by_request, context, guest, rebuilt};

async fn measured(request: &Request) -> [Cost; 3] {
    let provider = by_request().await;
    let measure = Measure::of(&provider, guest("by_request"), &Compile::Here).await.expect("it can be measured");
    let diagnostic = Diagnostic { summary: "quota".into(), detail: String::new(), address: None };
    [
        measure.validate(request).await.expect("validate"),
        measure.render(request, &context()).await.expect("render"),
        measure.diagnose(&diagnostic, &Asked::default()).await.expect("diagnose"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_give_the_same_figures_and_another_input_gives_others() {
    let first = measured(&asks("nothing")).await;
    assert!(first.iter().all(|cost| cost.instructions > 500 && cost.memory_bytes > 64 * 1024), "{first:?}");
    // The second beside somebody who takes the processor away.
    let burning = std::thread::spawn(|| (0_u64..400_000_000).fold(0, |sum, one| sum ^ std::hint::black_box(one)));
    assert_eq!(measured(&asks("nothing")).await, first);
    burning.join().expect("it ends");
    let longer = measured(&asks(&"nothing ".repeat(1000))).await;
    assert!(longer[0].instructions > first[0].instructions, "{longer:?} {first:?}");
}

#[tokio::test]
async fn a_call_that_gives_no_answer_is_told_and_so_are_bytes_that_were_not_loaded() {
    let provider = by_request().await;
    let measure = Measure::of(&provider, guest("by_request"), &Compile::Here).await.expect("it can be measured");
    let error = measure.validate(&asks("trap")).await.expect_err("it traps").to_string();
    assert!(error.starts_with("validate gave no answer: "), "{error}");
    let other = Measure::of(&provider, rebuilt(&guest("by_request")), &Compile::Here).await.expect_err("others");
    assert_eq!(other.to_string(), "the component is another one than was loaded");
}
