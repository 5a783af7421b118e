"""StatisticsGen: statistics over every split of the examples."""
