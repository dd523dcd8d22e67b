# Boundaries, repeated p-values and stagewise estimates of group sequential tests.
#
# mvtnorm (Miwa's exact algorithm) solves the definition; rpact is a second opinion, its
# numerical integration is good to about 1e-6.
# Run: Rscript make_golden.R > golden.json
suppressMessages({library(mvtnorm); library(rpact)})
setLogLevel("DISABLED")

STEPS <- Miwa(steps = 4096)

correlate <- function(info) {
  outer(info, info, function(a, b) sqrt(pmin(a, b) / pmax(a, b)))
}

rectangle <- function(lower, upper, info, drift = 0) {
  mean <- drift * sqrt(info)
  if (length(info) == 1) {
    return(pnorm(upper, mean) - pnorm(lower, mean))
  }
  pmvnorm(lower, upper, mean = mean, corr = correlate(info), algorithm = STEPS)[1]
}

# Stay inside the earlier bounds, then exceed `edge`.
exceed <- function(edge, bounds, info, sides, drift = 0) {
  k <- length(bounds) + 1
  if (k == 1) return(pnorm(edge, drift * sqrt(info[1]), lower.tail = FALSE))
  low <- if (sides == 2) -bounds else rep(-Inf, k - 1)
  rectangle(c(low, edge), c(bounds, Inf), info[1:k], drift)
}

spend <- function(kind, alpha, times, sides, exponent) {
  a <- alpha / sides
  switch(kind,
    obrien_fleming = 2 * pnorm(qnorm(a / 2) / sqrt(times)),
    pocock = a * log(1 + (exp(1) - 1) * times),
    power = a * times^exponent
  )
}

solve_bounds <- function(kind, alpha, times, info, sides, exponent) {
  steps <- diff(c(0, spend(kind, alpha, times, sides, exponent)))
  bounds <- c()
  for (k in seq_along(info)) {
    gap <- function(b) exceed(b, bounds, info, sides) - steps[k]
    bounds <- c(bounds, uniroot(gap, c(0, 7), tol = 1e-12)$root)
  }
  bounds
}

# Two-sided tests stopped above at look k with z.
stagewise <- function(bounds, info, k, z, sides, drift) {
  total <- 0
  for (j in seq_len(k)) {
    edge <- if (j == k) z else bounds[j]
    total <- total + exceed(edge, bounds[seq_len(j - 1)], info, sides, drift)
  }
  total
}

json <- function(x) {
  if (is.list(x)) {
    parts <- mapply(function(n, v) sprintf('"%s": %s', n, json(v)), names(x), x)
    return(paste0("{", paste(parts, collapse = ", "), "}"))
  }
  text <- if (is.character(x)) sprintf('"%s"', x) else sprintf("%.17g", x)
  if (length(text) == 1) text else paste0("[", paste(text, collapse = ", "), "]")
}

CASES <- list(
  list(kind = "obrien_fleming", alpha = .05, sides = 2, times = c(.4, .6, .8, 1), info = c(.4, .6, .8, 1)),
  list(kind = "obrien_fleming", alpha = .05, sides = 2, times = c(.25, .6, 1), info = c(100, 420, 500)),
  list(kind = "obrien_fleming", alpha = .025, sides = 1, times = c(.5, .9, 1), info = c(.5, .9, 1)),
  list(kind = "pocock", alpha = .05, sides = 2, times = c(.2, .5, .8, 1), info = c(.2, .5, .8, 1)),
  list(kind = "pocock", alpha = .05, sides = 1, times = c(.1, .3, 1), info = c(3, 4, 11)),
  list(kind = "power", alpha = .01, sides = 2, times = c(.3, .7, 1), info = c(.3, .7, 1)),
  list(kind = "power", alpha = .05, sides = 1, times = c(.3, .7, .9, 1), info = c(.25, .75, .8, 1))
)

answers <- c()
for (case in CASES) {
  case$exponent <- 2.5
  solved <- with(case, solve_bounds(kind, alpha, times, info, sides, exponent))
  case$critical <- solved
  k <- length(solved) - 1
  z <- solved[k] + 0.15
  scaled <- case$info / case$info[k]
  case$stop_look <- k
  case$stop_z <- z
  chances <- c(case$alpha / 2, .5, 1 - case$alpha / 2)
  case$stop_drift <- sapply(chances, function(p) {
    gap <- function(d) stagewise(solved, scaled, k, z, case$sides, d) - p
    uniroot(gap, c(z - 6, z + 6), tol = 1e-12)$root
  })
  # Smallest alpha that z at the last look crosses.
  last <- length(solved)
  final_z <- solved[last] - 0.2
  gap <- function(a) {
    with(case, solve_bounds(kind, exp(a), times, info, sides, exponent))[last] - final_z
  }
  case$final_z <- final_z
  case$final_p <- exp(uniroot(gap, log(c(case$alpha, .4)), tol = 1e-12)$root)
  answers <- c(answers, json(case))
}

rpact_cases <- c()
for (type in c("asOF", "asP", "asKD")) {
  rates <- (1:10) / 10
  arguments <- list(sided = 2, alpha = .05, informationRates = rates, typeOfDesign = type)
  if (type == "asKD") arguments$gammaA <- 2.5
  design <- do.call(getDesignGroupSequential, arguments)
  rpact_cases <- c(rpact_cases, json(list(
    type = type, times = rates, critical = design$criticalValues
  )))
}

design <- getDesignGroupSequential(
  sided = 1, alpha = .025, informationRates = c(.3, .6, 1), typeOfDesign = "asOF"
)
data <- getDataset(
  n1 = c(150, 150, 200), n2 = c(150, 150, 200), means1 = c(10.2, 10.35, 10.3),
  means2 = c(10, 10, 10), stDevs1 = c(1, 1, 1), stDevs2 = c(1, 1, 1)
)
found <- suppressWarnings(getAnalysisResults(
  design, data, normalApproximation = TRUE, stage = 3)
)
rpact_cases <- c(rpact_cases, json(list(
  type = "analysis",
  repeated_p = found$repeatedPValues,
  repeated_lower = found$repeatedConfidenceIntervalLowerBounds,
  final_stage = found$finalStage,
  final_p = found$finalPValues[!is.na(found$finalPValues)],
  final_lower = found$finalConfidenceIntervalLowerBounds[!is.na(found$finalConfidenceIntervalLowerBounds)],
  final_upper = found$finalConfidenceIntervalUpperBounds[!is.na(found$finalConfidenceIntervalUpperBounds)],
  median = found$medianUnbiasedEstimates[!is.na(found$medianUnbiasedEstimates)]
)))

cat(sprintf(
  '{"made_with": "mvtnorm %s, rpact %s", "cases": [\n%s\n], "rpact": [\n%s\n]}\n',
  packageVersion("mvtnorm"), packageVersion("rpact"),
  paste(answers, collapse = ",\n"), paste(rpact_cases, collapse = ",\n")
))
