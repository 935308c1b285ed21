use crate::support::run;

#[test]
fn the_main_job_fits_one_screen() {
    let ended = run(&["quickstart", "--count", "50"], b"").ok();
    assert!(ended.stdout.contains("50 messages, one at a time: each came back once, with equal bytes"));
    for hop in
        ["GET_ROUTEINFO_BY_TOPIC(105)", "SEND_MESSAGE_V2(310), opaque", "stored", "woken", "committed", "p99"]
    {
        assert!(ended.stdout.contains(hop), "{hop} is missing:\n{}", ended.stdout);
    }
    assert!(ended.stdout.lines().count() <= 40, "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "no colours for a pipe");
}
