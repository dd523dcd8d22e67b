# Bonferroni, Hochberg and Benjamini-Yekutieli by R's p.adjust.
# Run: Rscript make_corrections.R > corrections.json
set.seed(5)
FAMILIES <- list(
  c(.01, .04, .03, .005), .5, c(.02, .02, .02), round(rbeta(25, .4, 1), 6)
)
array_of <- function(x) paste0("[", paste(sprintf("%.17g", x), collapse = ", "), "]")
rows <- sapply(FAMILIES, function(p) {
  parts <- sapply(c("bonferroni", "holm", "hochberg", "BH", "BY"), function(method) {
    sprintf('"%s": %s', tolower(method), array_of(p.adjust(p, method)))
  })
  sprintf('{"p_values": %s, %s}', array_of(p), paste(parts, collapse = ", "))
})
# Nine p-values of which six are known: the others count.
p <- c(.001, .02, .004, .3, .011, .6)
planned <- sapply(c("bonferroni", "holm", "hochberg", "BH", "BY"), function(method) {
  sprintf('"%s": %s', tolower(method), array_of(p.adjust(c(p, 1, 1, 1), method)[1:6]))
})
cat(sprintf(
  '{"made_with": "R %s", "cases": [\n%s\n], "planned": {"p_values": %s, "family_size": 9, %s}}\n',
  getRversion(), paste(rows, collapse = ",\n"), array_of(p), paste(planned, collapse = ", ")
))
