"""The style sheet of the HTML report about training data: light, dark and on paper."""

from __future__ import annotations

# Text against its ground has a contrast of at least 4.5 to 1, marks of at least 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
STYLE = """
:root{--ground:#fbfbfa;--card:#fff;--ink:#1b1d1f;--soft:#575d63;--rule:#e0e2e4;--bar:#2f6fb3;--mark:#8a4b08;
--error:#b3261e;--error-soft:#fbe9e7;--warn:#8a5a00;--warn-soft:#fdf1d8;--info:#2f6fb3;--info-soft:#e7f0f9;
--fine:#24703a;--fine-soft:#e4f3e8}
@media screen and (prefers-color-scheme:dark){:root{--ground:#16181a;--card:#1e2124;--ink:#e8eaec;
--soft:#a4abb2;--rule:#34383c;
--bar:#6ba7e6;--mark:#e0a458;--error:#ff8a80;--error-soft:#3b1f1d;--warn:#f0b849;--warn-soft:#352a12;--info:#8abcf0;
--info-soft:#1b2b3b;--fine:#7fd197;--fine-soft:#1a3022}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
header p{color:var(--soft);margin:0 0 1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-bottom:.35rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.4rem 0;overflow-wrap:anywhere}
a{color:var(--info)}
nav ul{list-style:none;padding:0}
nav li{margin:.3rem 0}
section+section{margin-top:4rem;border-top:3px solid var(--rule);padding-top:2rem}
.lead{color:var(--soft)}
.quiet{color:var(--soft);font-size:.9rem}
.badge{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-size:.82rem;font-weight:600}
.badge.error{color:var(--error);background:var(--error-soft)}
.badge.warn{color:var(--warn);background:var(--warn-soft)}
.badge.info{color:var(--info);background:var(--info-soft)}
.badge.fine{color:var(--fine);background:var(--fine-soft)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.25rem 0}
.figures div{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:.7rem .9rem}
.figures dt{color:var(--soft);font-size:.85rem}
.figures dd{margin:.1rem 0 0;font-size:1.4rem;line-height:1.3;font-variant-numeric:tabular-nums}
.figures small{display:block;color:var(--soft);font-size:.82rem}
article{background:var(--card);border:1px solid var(--rule);border-left:4px solid var(--soft);border-radius:.4rem;
padding:.75rem 1rem;margin:.75rem 0}
article.error{border-left-color:var(--error)}
article.warn{border-left-color:var(--warn)}
article.info{border-left-color:var(--info)}
article h3{margin:0 0 .25rem}
article h3 small{color:var(--soft);font-weight:400;margin-left:.6rem;overflow-wrap:anywhere}
code{font:.87em/1.45 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
figure{margin:.5rem 0;background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:1rem}
svg{display:block;width:100%;height:auto;font:12px system-ui,"DejaVu Sans",sans-serif}
svg .bar{fill:var(--bar)}
svg .line{fill:none;stroke:var(--bar);stroke-width:2}
svg .dot{fill:var(--bar);stroke:var(--card);stroke-width:2}
svg .grid{stroke:var(--rule)}
svg .mark{stroke:var(--mark);stroke-dasharray:4 3}
svg .note{fill:var(--mark);stroke:var(--card);stroke-width:4px;paint-order:stroke}
svg .label{fill:var(--ink)}
svg .value{fill:var(--ink);stroke:var(--card);stroke-width:4px;paint-order:stroke}
svg .tick,svg .axis{fill:var(--soft)}
svg g:hover .bar,svg g:hover .dot{opacity:.75}
details{margin-top:.75rem;font-size:.9rem}
summary{cursor:pointer;color:var(--soft)}
.table{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;margin:.5rem 0}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:600}
.samples td:first-child{white-space:nowrap}
.samples td:last-child{font:.87em/1.45 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
@media print{:root{--ground:#fff}body{font-size:11pt}main{max-width:none;padding:0}
article,figure,.figures div,table tr{break-inside:avoid}h2,h3{break-after:avoid}}
"""
