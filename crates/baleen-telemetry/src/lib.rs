//! Events to counters, histograms and text
