use baleen_base::*;
use baleen_policy::*;
use baleen_policy::params::Params;
pub struct Fleet;
impl Fleet {
    pub fn new(_w: u16) -> Fleet { Fleet }
    pub fn observe(&mut self, _cx: &mut Cx<'_>, _from: WorkerId, _seen: Observation) {}
    pub fn apply(&mut self, _cx: &mut Cx<'_>, _c: ClusterId, _s: &EndpointSet) {}
    pub fn reconfigure(&mut self, _cx: &mut Cx<'_>, _p: &Params) {}
    pub fn poll(&mut self) -> Option<FleetAction> { None }
    pub fn next_deadline(&self) -> Option<Tick> { None }
    pub fn on_deadline(&mut self, _cx: &mut Cx<'_>) {}
    pub fn view(&self, _n: Tick) -> FleetView { unimplemented!() }
}
