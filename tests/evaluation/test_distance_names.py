from genmint.config.metric_catalogue import metric
from genmint.evaluation.distance_names import distance_names, own_features


def test_distances_are_known_by_the_name_of_any_data_set():
    names = distance_names(own_features("python-docs"))
    assert metric(names.frechet).pattern == "frechet_*_cnn"
    assert distance_names(own_features("my-digits")).frechet == "frechet_my_digits_cnn"
    assert metric(names.kernel).direction == "lower"
    assert metric(names.infinite).pattern == "frechet_*_cnn_infinite"
