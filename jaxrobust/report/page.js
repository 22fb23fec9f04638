'use strict';
// Tables are sorted by a click on a column's head, or Enter on it.
function key(cell) {
  const text = (cell.dataset.v ?? cell.textContent).trim();
  if (text === '–' || text === '') return null;
  const number = Number.parseFloat(text.replace('−', '-').replaceAll(',', ''));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  return a.localeCompare(b, undefined, { numeric: true });
}

function sortBy(head) {
  const column = head.cellIndex;
  const body = head.closest('table').tBodies[0];
  const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
  const numbers = rows.some(([value]) => typeof value === 'number');
  const now = head.getAttribute('aria-sort');
  // Numbers begin with the largest, words with the first.
  const down = now ? now === 'ascending' : numbers && column > 0;
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  rows.sort(([a], [b]) => {
    // What is missing is last, whatever the direction.
    if (a === null || b === null) return (a === null) - (b === null);
    if (a === 'NaN' || b === 'NaN') return (a === 'NaN') - (b === 'NaN');
    return down ? compare(b, a) : compare(a, b);
  });
  body.append(...rows.map(([, row]) => row));
}

for (const button of document.querySelectorAll('thead button')) {
  button.addEventListener('click', () => sortBy(button.closest('th')));
}

// A legend brings lines to the foreground of the charts beside it.
for (const button of document.querySelectorAll('.legend button')) {
  button.addEventListener('click', () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(on));
    const place = button.closest('details');
    for (const line of place.querySelectorAll(
      `.line[data-m="${button.dataset.m}"]`,
    )) {
      line.classList.toggle('off', !on);
      if (on) line.parentNode.append(line);
    }
  });
}

// A link to what lies folded unfolds it.
function unfold() {
  let node = document.getElementById(location.hash.slice(1));
  for (const start = node; node; node = node.parentElement) {
    if (node.tagName === 'DETAILS') node.open = true;
    if (!node.parentElement && start) start.scrollIntoView();
  }
}
addEventListener('hashchange', unfold);
unfold();

// On paper everything is open, and afterwards as it was.
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const details of folded) details.open = true;
  // A table wider than the paper is made smaller. Its letters will be those
  // of page.css, of 8 pixels, on a page of some 1000.
  for (const table of document.querySelectorAll('table')) {
    const size = Number.parseFloat(getComputedStyle(table).fontSize);
    const wide = (table.scrollWidth * 8) / size;
    table.style.setProperty('--fit', Math.min(1, 1000 / wide));
  }
});
addEventListener('afterprint', () => {
  for (const details of folded) details.open = false;
  folded = [];
});
