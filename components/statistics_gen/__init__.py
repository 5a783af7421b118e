"""StatisticsGen: computes statistics of every split of the examples."""
