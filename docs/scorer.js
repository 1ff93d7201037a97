// A page whose title, or title of a section, has all words of the query comes first, then its entry in the glossary; the reference comes last.
var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  score: ([page, title, , , score]) => {
    const words = new URLSearchParams(location.search).get('q').toLowerCase().split(/\s+/);
    const all = words.every(word => title.toLowerCase().includes(word));
    return score + (!all ? 0 : page === 'glossary' ? 20 : 40) - (page.startsWith('reference/') ? 200 : 0);
  },
};
