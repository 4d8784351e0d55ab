//! The style sheet and the script of a page. Both are constants: nothing of a run is in them.
//!
//! The page is whole without the script; it adds the values under the pointer. Tested: in `report/tests.rs`.

/// Light, and dark where that is preferred.
pub const STYLE: &str = r"
:root{color-scheme:light dark;--bg:#fff;--card:#f6f7f9;--fg:#18202c;--dim:#5c6878;--grid:#e3e7ec;--axis:#98a2b0;
--band:#d64541;--held:#15803d;--broken:#c02626;--offered:#8a94a3;--good:#2563eb;--p50:#0e7490;--p99:#b45309;
--timeout:#b91c1c;--failed:#d97706;--tries:#7c3aed;--busy:#2563eb;--queue:#d97706;--wasted:#7c3aed;--heat:#c2410c}
@media (prefers-color-scheme:dark){:root{--bg:#11151b;--card:#1a2029;--fg:#e5e9f0;--dim:#97a3b4;--grid:#272f3a;
--axis:#5d6878;--band:#f0625d;--held:#4ade80;--broken:#f87171;--offered:#8893a4;--good:#6ea8ff;--p50:#4fc3d9;
--p99:#f0a04b;--timeout:#f87171;--failed:#f2b24c;--tries:#b794f6;--busy:#6ea8ff;--queue:#f2b24c;--wasted:#b794f6;
--heat:#fb923c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1060px;padding:24px 20px 60px;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:36px 0 10px}
.facts,.dim{color:var(--dim)}.facts{margin:0 0 14px;overflow-wrap:anywhere}
.verdict{display:inline-block;margin:0 0 14px;padding:3px 12px;border-radius:4px;font-weight:600;color:#fff}
.verdict.held{background:#15803d}.verdict.broken{background:#b91c1c}.verdict.none{background:#64748b}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;width:100%}
th{font-weight:600;color:var(--dim);white-space:nowrap}
td,th{padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
td.r,th.r{text-align:right;white-space:nowrap}td.r+td.l{padding-left:10px}td.l,th.l{text-align:left}
.mark{font-weight:600}.held .mark{color:var(--held)}.broken .mark{color:var(--broken)}
.log td{border:0;padding:1px 12px 1px 0;font:12.5px/1.45 ui-monospace,'DejaVu Sans Mono',monospace}
.log .l:last-child{width:100%}.log .kind{font-weight:600}
details{margin-top:10px}summary{cursor:pointer;color:var(--dim)}
pre{background:var(--card);padding:10px 14px;overflow-x:auto;border-radius:5px;font-size:13.5px}
.wrong{border-left:4px solid var(--broken);background:var(--card);padding:8px 14px}
svg{display:block;width:100%;height:auto;margin:4px 0}
svg text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:var(--fg)}
svg .title{font-weight:600;font-size:13px}
svg .tick,svg .note,svg .nodenote{fill:var(--dim);font-size:11px}
.end{text-anchor:end}.mid{text-anchor:middle}
.grid{stroke:var(--grid);fill:none}.axis{stroke:var(--axis);fill:none}
.mark{stroke-dasharray:3 3}path.mark{stroke:var(--band);stroke-opacity:.55;fill:none}
.level{stroke:var(--dim);stroke-dasharray:6 4;fill:none}
.idle{fill:var(--axis);fill-opacity:.13}.band{fill:var(--band);fill-opacity:.09}.lane{fill:var(--band);fill-opacity:.28}svg .lanetext{font-size:11px}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}.line.thin{stroke-width:1.1}.area{fill-opacity:.28;stroke:none}
.s-offered{stroke:var(--offered)}.s-good{stroke:var(--good)}.s-p50{stroke:var(--p50)}.s-p99{stroke:var(--p99)}
.s-timeout{stroke:var(--timeout)}.s-failed{stroke:var(--failed)}.s-tries{stroke:var(--tries)}.s-busy{stroke:var(--busy)}
.s-queue{stroke:var(--queue)}.s-wasted{stroke:var(--wasted)}
.f-timeout{fill:var(--timeout)}.f-failed{fill:var(--failed)}.f-busy{fill:var(--busy)}.f-queue{fill:var(--queue)}
svg .t-offered{fill:var(--offered)}svg .t-good{fill:var(--good)}svg .t-p50{fill:var(--p50)}svg .t-p99{fill:var(--p99)}
svg .t-timeout{fill:var(--timeout)}svg .t-failed{fill:var(--failed)}svg .t-tries{fill:var(--tries)}
svg .t-busy{fill:var(--busy)}svg .t-queue{fill:var(--queue)}svg .t-wasted{fill:var(--wasted)}
svg .name{font-weight:600}
.dot{fill:var(--bg);stroke-width:1.6}
.h0{fill:var(--grid);fill-opacity:.45}.heat{fill:var(--heat)}
.h1{fill-opacity:.1}.h2{fill-opacity:.2}.h3{fill-opacity:.3}.h4{fill-opacity:.42}.h5{fill-opacity:.54}.h6{fill-opacity:.66}
.h7{fill-opacity:.78}.h8{fill-opacity:.89}.h9{fill-opacity:1}.heat.h0{fill:var(--grid);fill-opacity:.45}
.edge{fill:none;stroke:var(--axis);stroke-width:1.4}.head{fill:var(--axis)}
.node rect{fill:var(--card);stroke:var(--axis)}.node.workload rect{stroke-dasharray:4 3}.node.proxy rect{stroke:var(--good);stroke-width:1.6}
.node.hit rect{stroke:var(--band);stroke-width:2.2}svg .nodename{font-weight:600;font-size:13px}
svg .hitmark{fill:var(--broken);font-size:11px;font-weight:600}
.pick{position:absolute;opacity:0}.picklabel{display:inline-block;padding:2px 12px;margin:0 6px 8px 0;border:1px solid var(--grid);
border-radius:14px;cursor:pointer;font-size:13.5px}.pick:checked+.picklabel{background:var(--fg);color:var(--bg);border-color:var(--fg)}
.pick:focus-visible+.picklabel{outline:2px solid var(--good)}
.caller{display:none}
#c0:checked~.c0,#c1:checked~.c1,#c2:checked~.c2,#c3:checked~.c3,#c4:checked~.c4,#c5:checked~.c5,#c6:checked~.c6,
#c7:checked~.c7,#c8:checked~.c8,#c9:checked~.c9,#c10:checked~.c10,#c11:checked~.c11,#c12:checked~.c12{display:block}
.caller.only{display:block}
#tip{position:fixed;pointer-events:none;display:none;background:var(--fg);color:var(--bg);padding:5px 9px;border-radius:4px;
font-size:12px;line-height:1.45;white-space:pre;font-variant-numeric:tabular-nums;z-index:9}
.cursor{stroke:var(--fg);stroke-opacity:.5}
@media print{.caller{display:block}.pick,.picklabel{display:none}}
";

/// Shows the values under the pointer, in the chart and as a line in all others.
pub const SCRIPT: &str = r"
(function(){'use strict';
var data=JSON.parse(document.getElementById('data').textContent),tip=document.createElement('div');
tip.id='tip';document.body.appendChild(tip);
var charts=[].slice.call(document.querySelectorAll('svg[data-key]')),NS='http://www.w3.org/2000/svg';
var left=66,right=876;
charts.forEach(function(c){var l=document.createElementNS(NS,'path');l.setAttribute('class','cursor');c.appendChild(l);
c.addEventListener('pointermove',function(e){move(c,e)});c.addEventListener('pointerleave',hide)});
function short(v){return String(+v.toPrecision(3))}
function show(v,u){if(v===null||v===undefined)return '-';
if(u==='share')return short(v*100)+' %';if(u==='rate')return short(v)+'/s';if(u!=='time')return short(v);
return v===0?'0 s':v<1e-3?short(v*1e6)+' us':v<1?short(v*1e3)+' ms':short(v)+' s'}
function move(c,e){var b=c.getBoundingClientRect(),x=(e.clientX-b.left)/b.width*1000;
if(x<left||x>right)return hide();
var d=data.charts[+c.dataset.key],at=data.from+(x-left)/(right-left)*(data.to-data.from),i=0,best=1/0;
d.x.forEach(function(v,n){var far=Math.abs(v-at);if(far<best){best=far;i=n}});
var text=data.label+' '+short4(d.x[i])+data.unit;
d.s.forEach(function(s){text+='\n'+s.n+'  '+show(s.v[i],d.u)});
tip.textContent=text;tip.style.display='block';
var w=tip.offsetWidth;tip.style.left=(e.clientX+16+w>innerWidth?e.clientX-16-w:e.clientX+16)+'px';
tip.style.top=(e.clientY+14)+'px';
charts.forEach(function(o){o.querySelector('.cursor').setAttribute('d','M'+x.toFixed(1)+' '+o.dataset.top+'V'+o.dataset.bottom)})}
function short4(v){return String(+v.toPrecision(5))}
function hide(){tip.style.display='none';charts.forEach(function(o){o.querySelector('.cursor').removeAttribute('d')})}
})();
";
