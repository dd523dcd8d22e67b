# Rscript make_golden.R: share errors and Woodruff intervals by R's survey package.
# Debian: r-cran-survey, r-cran-jsonlite.
suppressMessages({library(survey); library(jsonlite)})
data <- fromJSON("data.json")
solve_one <- function(values, units, q) {
  frame <- data.frame(x = values, u = units)
  design <- svydesign(ids = ~u, data = frame, weights = ~1)
  value <- sort(values)[ceiling(q * length(values) - 1e-9)]
  frame$below <- as.numeric(frame$x <= value)
  design <- svydesign(ids = ~u, data = frame, weights = ~1)
  share <- svymean(~below, design)
  z <- qnorm(.975)
  error <- as.numeric(SE(share))
  ends <- svyquantile(~x, design, c(q - z * error, q, q + z * error), ci = FALSE,
                      qrule = "hf1")
  list(quantile = q, value = value, share_error = error,
       ends = as.numeric(ends[[1]]))
}
answer <- list(
  made_with = paste("R", getRversion(), "survey", packageVersion("survey")),
  single = lapply(data$quantiles, function(q)
    solve_one(data$single, seq_along(data$single), q)),
  clustered = lapply(data$quantiles, function(q)
    solve_one(data$values, data$units, q)))
write(toJSON(answer, digits = NA, auto_unbox = TRUE), "golden.json")
