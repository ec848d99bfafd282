import multiprocessing

import pytest

from app.telemetry.metrics import Metrics


def lines(metrics):
    return dict(line.rsplit(" ", 1) for line in metrics.text().splitlines() if not line.startswith("#"))


def test_requests_are_counted_by_route_and_status_and_others_together():
    metrics = Metrics(["/encode"])
    for route, status in (("/encode", 200), ("/encode", 200), ("/encode", 422), ("/x", 404), ("/y", 418)):
        metrics.request(route, status, 0.003)
    found = lines(metrics)
    assert found['digit_vae_requests_total{route="/encode",status="200"}'] == "2"
    assert found['digit_vae_requests_total{route="/encode",status="422"}'] == "1"
    assert found['digit_vae_requests_total{route="other",status="404"}'] == "1"
    assert found['digit_vae_requests_total{route="other",status="other"}'] == "1"


def test_a_histogram_is_cumulative_and_ends_with_all():
    metrics = Metrics(["/encode"])
    for seconds in (0.0001, 0.003, 0.004, 99):
        metrics.request("/encode", 200, seconds)
    found = lines(metrics)
    name = "digit_vae_request_seconds"
    assert found[f'{name}_bucket{{route="/encode",le="0.0005"}}'] == "1"
    assert found[f'{name}_bucket{{route="/encode",le="0.005"}}'] == "3"
    assert found[f'{name}_bucket{{route="/encode",le="30.0"}}'] == "3"
    assert found[f'{name}_bucket{{route="/encode",le="+Inf"}}'] == "4"
    assert found[f'{name}_count{{route="/encode"}}'] == "4"
    assert float(found[f'{name}_sum{{route="/encode"}}']) == pytest.approx(99.0071)


def test_queue_and_inference_are_told_apart():
    metrics = Metrics([])
    metrics.queued(5)
    metrics.batch(3, [0.5, 0.25], 0.01)
    metrics.rejected()
    metrics.abandoned()
    metrics.serves(7)
    found = lines(metrics)
    assert float(found["digit_vae_queue_seconds_sum"]) == 0.75
    assert found["digit_vae_queue_seconds_count"] == "2"
    assert float(found["digit_vae_inference_seconds_sum"]) == 0.01
    assert float(found["digit_vae_batch_rows_sum"]) == 3
    gauges = ("rejected_total", "abandoned_total", "queue_rows", "model_version")
    assert [found[f"digit_vae_{name}"] for name in gauges] == ["1", "1", "5", "7"]


def count_in_another_process(folder):
    metrics = Metrics(["/encode"], folder)
    metrics.request("/encode", 200, 0.001)
    metrics.queued(9)
    metrics.serves(1)


def test_workers_share_a_folder_and_the_dead_leave_their_counts_but_no_gauges(tmp_path):
    metrics = Metrics(["/encode"], tmp_path)
    metrics.request("/encode", 200, 0.001)
    metrics.queued(2)
    metrics.serves(3)
    other = multiprocessing.get_context("spawn").Process(target=count_in_another_process, args=(tmp_path,))
    other.start()
    other.join(60)
    assert len(list(tmp_path.iterdir())) == 2
    found = lines(metrics)
    assert found['digit_vae_requests_total{route="/encode",status="200"}'] == "2"
    assert found["digit_vae_queue_rows"] == "2"
    assert found["digit_vae_model_version"] == "3"
    assert found["digit_vae_workers"] == "1"


def test_memory_is_that_of_this_process_where_there_is_one():
    found = lines(Metrics([]))
    assert found["digit_vae_workers"] == "1"
    assert 10 * 2**20 < int(found["digit_vae_resident_bytes"]) < 2**40
